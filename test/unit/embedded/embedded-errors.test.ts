import { expect, test } from 'vitest'
import { embeddedError } from '../../../src/drivers/embedded/embedded-errors.js'
import { DiskError } from '../../../src/drivers/embedded/machine/disk-error.js'
import { fromFailure, toFailure } from '../../../src/drivers/embedded/machine/failure.js'
import { MachineCrashedError } from '../../../src/drivers/embedded/machine/machine-thread.js'
import { SavedStateError } from '../../../src/drivers/embedded/machine/saved-state.js'

const failure = (code: string): Error => Object.assign(new Error(`${code}: it failed`), { code })

test.each([
  ['ENOSPC', 'INSUFFICIENT_RESOURCES'],
  ['EDQUOT', 'INSUFFICIENT_RESOURCES'],
  ['EMFILE', 'INSUFFICIENT_RESOURCES'],
  ['EAGAIN', 'INSUFFICIENT_RESOURCES'],
  ['ERR_WORKER_OUT_OF_MEMORY', 'INSUFFICIENT_RESOURCES'],
  ['ERR_WORKER_INIT_FAILED', 'INSUFFICIENT_RESOURCES'],
  ['EACCES', 'PERMISSION_DENIED'],
  ['EROFS', 'PERMISSION_DENIED'],
  ['EIO', 'HOST_ERROR'],
])('%s becomes %s, and keeps the words of the system', (errno, code) => {
  const native = { driver: 'embedded', code: errno, message: `${errno}: it failed` }
  expect(embeddedError(failure(errno))).toMatchObject({ code, native })
})

test('a disk error with a system error as its cause is reported as that; any other is the fault of the image', () => {
  expect(embeddedError(new DiskError('/disk', 'is full', { cause: failure('ENOSPC') })).code).toBe(
    'INSUFFICIENT_RESOURCES',
  )
  expect(embeddedError(new DiskError('/disk', 'is too large')).code).toBe('INVALID_ARGUMENT')
})

test('a full disk in the thread of a machine is reported by its cause', () => {
  const error = fromFailure(toFailure(new DiskError('/disk', 'is full', { cause: failure('ENOSPC') })))
  expect(embeddedError(error).code).toBe('INSUFFICIENT_RESOURCES')
  expect(embeddedError(new MachineCrashedError(failure('ERR_WORKER_INIT_FAILED'))).code).toBe('INSUFFICIENT_RESOURCES')
})

test('memory that can not be allocated, and saved memory that can not be read', () => {
  expect(embeddedError(new RangeError('WebAssembly.Memory(): could not allocate memory')).code).toBe(
    'INSUFFICIENT_RESOURCES',
  )
  const inThread = fromFailure(toFailure(new RangeError('WebAssembly.instantiate(): Out of memory: Cannot allocate')))
  expect(embeddedError(inThread).code).toBe('INSUFFICIENT_RESOURCES')
  expect(embeddedError(new SavedStateError('is damaged')).code).toBe('PROTOCOL_ERROR')
})

test('any other error becomes a host error', () => {
  expect(embeddedError('text')).toMatchObject({ code: 'HOST_ERROR', native: { driver: 'embedded', message: 'text' } })
})
