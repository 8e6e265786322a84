import { connect } from 'awaitvm'
import { expect, test } from 'vitest'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'
import { guestKernel } from '../../conformance/guest-kernel.js'

test.each([
  { what: 'the built-in guest', spec: {}, reason: 'the built-in guest runs no programs' },
  {
    what: 'a guest without the program, by its spec',
    spec: { memoryMiB: 16, boot: { kernel: guestKernel }, guest: { way: 'none' as const } },
    reason: "spec.guest is { way: 'none' }",
  },
])('$what is refused at once: it will never answer', async ({ spec, reason }) => {
  await using server = await connect('embedded:').unwrap()
  const vm = await server.createVm({ name: 'alone', ...spec }).unwrap()
  const refused = { code: 'GUEST_UNAVAILABLE', reason, retryable: false }
  const error = await failureOf(vm.start({ until: 'ready' }), 'GUEST_UNAVAILABLE')
  expect(error).toMatchObject(refused)
  expect(error.hint).toContain('boots a Linux with an initrd')
  expect(await vm.getState().unwrap()).toBe('running')
  for (const job of [vm.guest.exec(['true']), vm.guest.waitForPort(22), vm.guest.readFile('/etc/hostname')]) {
    expect(await failureOf(job, 'GUEST_UNAVAILABLE')).toMatchObject(refused)
  }
})
