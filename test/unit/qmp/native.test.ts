import { readFile } from 'node:fs/promises'
import { connect, type Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { missingQemu, skipWithout } from '../../support/optional-tool.js'
import { QmpHost } from '../../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

const commandLineOf = ({ native: { details } }: Vm): readonly string[] | undefined =>
  details?.driver === 'qmp' ? details.commandLine : undefined

test('a VM shows the command line that it would be started with, and, while it runs, the one that it was started with', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const planned = vm.native.details
  expect(planned?.driver).toBe('qmp')
  await vm.edit({ cpus: 2 }).unwrap()
  expect(vm.native.details).not.toEqual(planned)
  const commandLine = commandLineOf(vm)
  await vm.start().unwrap()
  const words = (await readFile(`/proc/${await host.pidOf(vm)}/cmdline`, 'utf8')).split('\0').slice(0, -1)
  expect(words).toEqual(commandLine)
  // A connection with another accelerator shows how it runs.
  await using other = await connect(`${host.uri}?accel=kvm`).unwrap()
  const seen = await other.getVm(vm.name).unwrap()
  expect(commandLineOf(seen)).toEqual(words)
  await vm.stop({ mode: 'kill' }).unwrap()
  await seen.refresh().unwrap()
  expect(commandLineOf(seen)).toContain('kvm')
})
