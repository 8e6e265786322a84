import { expect, test } from 'vitest'
import { qemuError, QemuProgramError } from '../../../src/drivers/qmp/qemu-errors.js'

test.each([
  ["qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory", 'INSUFFICIENT_RESOURCES'],
  ['qemu: qemu_thread_create: Resource temporarily unavailable', 'INSUFFICIENT_RESOURCES'],
  ['GLib-ERROR: creating thread: Error creating thread: pthread_create failed', 'INSUFFICIENT_RESOURCES'],
  ["Could not open 'disk-1.qcow2': Too many open files", 'INSUFFICIENT_RESOURCES'],
  ['cannot create PID file: Cannot lock pid file: Resource temporarily unavailable', 'RESOURCE_BUSY'],
  ['unsupported machine type', 'HOST_ERROR'],
])('what QEMU says as %j becomes %s', (said, code) => {
  expect(qemuError(new QemuProgramError('QEMU', 1, said))).toMatchObject({ code, native: { message: said } })
})

test.each(['EAGAIN', 'EMFILE', 'ENFILE', 'ENOMEM'])(
  'a QEMU that can not be started because of %s lacks resources',
  (code) => {
    expect(qemuError(Object.assign(new Error(`spawn ${code}`), { code })).code).toBe('INSUFFICIENT_RESOURCES')
  },
)
