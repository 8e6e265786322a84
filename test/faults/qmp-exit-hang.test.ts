import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { qemusIn } from '../support/qemu-processes.js'
import { QmpHost } from '../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

/** What QEMU writes when its guest has powered off, and before it closes its disks. */
const announcement = `{"timestamp": {"seconds": 1, "microseconds": 0}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}\n`

test.each([
  ['with its disks open', [{ sizeMiB: 1 }]],
  ['after it has closed its disks', []],
])('a QEMU that hangs at its exit %s is ended, and what its guest has written is there', async (_when, disks) => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks })
  const guest = await host.boot(vm)
  if (disks.length > 0) await guest.writeDisk(7)
  const pid = await host.pidOf(vm)
  const stopping = vm.stop()
  for await (const { phase } of stopping) {
    if (phase !== 'waiting for the guest') continue
    process.kill(pid, 'SIGSTOP')
    break
  }
  await appendFile(join(host.folderOf(vm), 'events.log'), announcement)
  expect(await stopping.unwrap()).toBe('shutdown')
  expect([vm.state, await qemusIn(host.directory)]).toEqual(['stopped', []])
  expect(await host.damage(vm)).toEqual([])
  const again = await host.boot(vm)
  if (disks.length > 0) expect(await again.readDisk()).toBe(7)
})

test('a QEMU that hangs at its exit is ended by the next connection, if nobody was connected', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  await host.boot(vm)
  const pid = await host.pidOf(vm)
  await host.server.close().unwrap()
  process.kill(pid, 'SIGSTOP')
  await appendFile(join(host.folderOf(vm), 'events.log'), announcement)
  await using server = await connect(host.uri).unwrap()
  const found = await server.getVm('web-1').unwrap()
  expect(await found.getState().unwrap()).toBe('stopped')
  expect(await qemusIn(host.directory)).toEqual([])
})
