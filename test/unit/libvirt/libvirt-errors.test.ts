import { expect, test } from 'vitest'
import { ConnectionError, type VmErrorCode } from 'awaitvm'
import { libvirtError } from '../../../src/drivers/libvirt/libvirt-errors.js'
import { RemoteError } from '../../../src/drivers/libvirt/rpc/remote-error.js'

const failed = (code: number, message = 'the words', { domain = 10, errno = -1 } = {}): RemoteError =>
  new RemoteError({ code, domain, message, errno })

test.each([
  [failed(42), 'VM_NOT_FOUND'],
  [failed(72), 'SNAPSHOT_NOT_FOUND'],
  [failed(9, "operation failed: domain 'g' already exists with uuid 1"), 'ALREADY_EXISTS'],
  [failed(9), 'HOST_ERROR'],
  [failed(68), 'RESOURCE_BUSY'],
  [failed(87), 'RESOURCE_BUSY'],
  [failed(78), 'JOB_CANCELLED'],
  [failed(3), 'NOT_SUPPORTED'],
  [failed(84), 'NOT_SUPPORTED'],
  [failed(39, 'unknown procedure: 999'), 'NOT_SUPPORTED'],
  [failed(39), 'HOST_ERROR'],
  [failed(8), 'HOST_ERROR'],
  [failed(29), 'PERMISSION_DENIED'],
  [failed(88), 'PERMISSION_DENIED'],
  [failed(45), 'AUTHENTICATION_FAILED'],
  [failed(1, 'no system bus', { domain: 47 }), 'AUTHENTICATION_FAILED'],
  [failed(5), 'CONNECTION_FAILED'],
  [failed(2), 'INSUFFICIENT_RESOURCES'],
  [failed(38, 'full', { errno: 28 }), 'INSUFFICIENT_RESOURCES'],
  [failed(38, 'not yours', { errno: 13 }), 'PERMISSION_DENIED'],
  [failed(38, 'not there', { errno: 2 }), 'HOST_ERROR'],
  [failed(1), 'HOST_ERROR'],
] as [RemoteError, VmErrorCode][])('%s becomes %s', (error, code) => {
  const { code: number, message } = error
  const made = libvirtError(error, { operation: 'vm.start', vm: 'web-1' })
  expect(made).toMatchObject({ code })
  if (code !== 'VM_NOT_FOUND') expect(made).toMatchObject({ native: { driver: 'libvirt', code: number, message } })
})

test('a mistake in what was sent names the parameter', () => {
  expect(libvirtError(failed(27), { operation: 'server.createVm', path: 'spec' })).toMatchObject({
    code: 'INVALID_ARGUMENT',
    path: 'spec',
  })
})

test('other errors stay as they are', () => {
  const error = new ConnectionError({ reason: 'gone' })
  expect(libvirtError(error, { operation: 'vm.start' })).toBe(error)
})
