import { execFile } from 'node:child_process'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connect, TimeoutError, type JsonObject, type Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { isQuestion, requireOthersNames } from '../../../src/drivers/qmp/raw-command.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../../support/optional-tool.js'
import { QmpHost } from '../../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

/** A command that QEMU carries out only once its file, a named pipe, is read. */
async function slowCommand({ folder }: QmpHost): Promise<readonly [args: JsonObject, end: () => Promise<number>]> {
  const filename = join(folder, 'memory')
  await promisify(execFile)('mkfifo', [filename])
  const end = async (): Promise<number> => {
    const file = await open(filename)
    try {
      return (await file.readFile()).length
    } finally {
      await file.close()
    }
  }
  return [{ val: 0, size: 4096, filename }, end]
}

/** Resolves when QEMU waits for a reader of the pipe: the kernel's function for that, in /proc/PID/wchan. */
const untilKept = (host: QmpHost, vm: Vm): Promise<void> =>
  expect
    .poll(async () => await readFile(`/proc/${await host.pidOf(vm)}/wchan`, 'utf8'), { timeout: 20_000, interval: 20 })
    .toBe('wait_for_partner')

test('commands of every kind reach QEMU, and are answered as it answers', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }], networkAdapters: [{}] })
  await vm.start().unwrap()
  const { native } = vm
  expect(String(native)).toBe('VmNative of "web-1"')
  expect(vm.native).toBe(native)

  expect(await native.qmp('query-uuid').unwrap()).toEqual({ UUID: vm.id })
  expect(await native.qmp('query-qmp-schema').unwrap()).toContainEqual(
    expect.objectContaining({ name: 'query-status' }),
  )
  const info = await native.qmp('human-monitor-command', { 'command-line': 'info version' }).unwrap()
  expect(info).toMatch(/^\d+\.\d+/)

  expect(await native.qmp('object-add', { 'qom-type': 'rng-builtin', id: 'mine', unset: undefined }).unwrap()).toEqual(
    {},
  )
  const objects = await native.qmp('qom-list', { path: '/objects' }).unwrap()
  expect(objects).toContainEqual({ name: 'mine', type: 'child<rng-builtin>' })
  await native.qmp('object-del', { id: 'mine' }).unwrap()
  await native.qmp('set_link', { name: 'net0', up: false }).unwrap()
  // The limits of awaitvm's own disk are the user's to set.
  const [disk] = (await native.qmp('query-block').unwrap()) as readonly { readonly qdev: string }[]
  const none = { bps: 0, bps_rd: 0, bps_wr: 0, iops_rd: 0, iops_wr: 0 }
  await native.qmp('block_set_io_throttle', { id: disk?.qdev, ...none, iops: 100 }).unwrap()
  expect(await native.qmp('query-block').unwrap()).toMatchObject([{ inserted: { iops: 100 } }])
  expect(await vm.getState().unwrap()).toBe('running')
})

test("what QEMU refuses ends with its own words, and what is awaitvm's is refused by its path", async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  await vm.start().unwrap()
  const refused = await failureOf(vm.native.qmp('object-del', { id: 'nothing' }), 'HOST_ERROR')
  expect(refused.native).toEqual({ driver: 'qmp', code: 'GenericError', message: "object 'nothing' not found" })
  expect(refused.message).toBe(`Cannot send a QMP command to VM "web-1": object 'nothing' not found.`)
  const unknown = await failureOf(vm.native.qmp('query-everything'), 'INVALID_ARGUMENT')
  expect(unknown.native).toMatchObject({ driver: 'qmp', code: 'CommandNotFound' })
  const misused = await failureOf(vm.native.qmp('query-status', { now: true }), 'HOST_ERROR')
  expect(misused.native.message).toContain("'now'")

  const before = await vm.native.qmp('query-block').unwrap()
  const [{ qdev = '' } = {}] = before as readonly { readonly qdev?: string }[]
  for (const id of [qdev, qdev.split('/')[3] ?? '']) {
    const error = await failureOf(vm.native.qmp('device_del', { id }), 'INVALID_ARGUMENT')
    expect(error.path).toBe('arguments.id')
    expect(error.hint).toContain('vm.edit()')
  }
  expect(await vm.native.qmp('query-block').unwrap()).toEqual(before)
})

test('commands that name parts of QEMU that are awaitvm’s are told from all others', () => {
  const own: readonly (readonly [command: string, args: JsonObject, path: string])[] = [
    ['device_add', { driver: 'virtio-blk-pci', drive: 'disk-01234567-89ab-4cde' }, 'arguments.drive'],
    ['device_add', { driver: 'floppy', id: 'drive-mine' }, 'arguments.id'],
    ['blockdev-add', { driver: 'qcow2', 'node-name': 'mine', file: 'cdrom0' }, 'arguments.file'],
    ['blockdev-add', { driver: 'qcow2', file: { driver: 'file', 'node-name': 'seed' } }, 'arguments.file.node-name'],
    ['eject', { id: 'drive-cdrom0' }, 'arguments.id'],
    ['eject', { id: '/machine/peripheral/drive-cdrom0' }, 'arguments.id'],
    ['blockdev-mirror', { 'job-id': 'save', device: 'mine', target: 'other' }, 'arguments.job-id'],
    ['block_resize', { 'node-name': 'disk-1', size: 0 }, 'arguments.node-name'],
    ['netdev_del', { id: 'net0' }, 'arguments.id'],
    ['chardev-change', { id: 'serial', backend: {} }, 'arguments.id'],
    ['job-cancel', { id: 'copy0' }, 'arguments.id'],
    ['yank', { instances: [{ type: 'chardev', id: 'control' }] }, 'arguments.instances[0].id'],
    [
      'transaction',
      { actions: [{ type: 'abort' }, { type: 'blockdev-backup', data: { device: 'disk-1', target: 'mine' } }] },
      'arguments.actions[1].data.device',
    ],
    ['block-dirty-bitmap-merge', { node: 'mine', target: 'a', bitmaps: ['b', 'disk-1'] }, 'arguments.bitmaps[1]'],
  ]
  for (const [command, args, path] of own) {
    expect(() => {
      requireOthersNames({ command, arguments: args })
    }, command).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', path }))
  }
  const others: readonly (readonly [command: string, args: JsonObject])[] = [
    ['device_add', { driver: 'floppy', id: 'mine', bus: 'scsi.0' }],
    ['blockdev-add', { driver: 'copy-on-read', 'node-name': 'mine', file: { driver: 'file', filename: 'floppy.img' } }],
    ['netdev_add', { type: 'tap', id: 'mine', ifname: 'tap0' }],
    ['set_link', { name: 'net0', up: true }],
    ['chardev-send-break', { id: 'serial' }],
    ['qom-set', { path: '/machine/peripheral/balloon', property: 'guest-stats-polling-interval', value: 2 }],
    ['block_set_io_throttle', { id: 'drive-disk-1' }],
    ['drive-backup', { device: 'mine', target: '/srv/disk-backups/copy.qcow2', sync: 'full' }],
    ['chardev-add', { id: 'mine', backend: { type: 'serial', data: { device: '/dev/tap0' } } }],
  ]
  for (const [command, args] of others) requireOthersNames({ command, arguments: args })
})

test('only commands that change nothing are taken for questions', () => {
  const isAsked = (command: string): boolean => isQuestion({ command, arguments: {} })
  const asked = [
    'query-block',
    'x-query-numa',
    'qom-get',
    'qom-list-types',
    'device-list-properties',
    'trace-event-get-state',
  ]
  expect(asked.filter((command) => !isAsked(command))).toEqual([])
  const others = ['qom-set', 'device_add', 'trace-event-set-state', 'screendump', 'pmemsave', 'x-blockdev-change']
  expect(others.filter(isAsked)).toEqual([])
})

test('a command that QEMU is slow to carry out has the VM for itself, and a job that is late says that it may take place', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  await vm.start().unwrap()
  const [args, end] = await slowCommand(host)
  const job = vm.native.qmp('pmemsave', args)
  await untilKept(host, vm)
  await using other = await connect(host.uri).unwrap()
  const seen = await other.getVm('web-1').unwrap()
  await failureOf(seen.native.qmp('object-add', { 'qom-type': 'rng-builtin', id: 'mine' }), 'RESOURCE_BUSY', 'TIMEOUT')
  // A question is never sent late.
  expect((await failureOf(seen.native.qmp('query-status', {}, { timeoutMs: 100 }), 'TIMEOUT')).hint).toContain(
    'Nothing',
  )
  expect(await end()).toBe(4096)
  expect(await job.unwrap()).toEqual({})

  const late = vm.native.qmp('pmemsave', args, { timeoutMs: 5000 })
  expect((await failureOf(late, 'OUTCOME_UNKNOWN')).cause).toBeInstanceOf(TimeoutError)
  await vm.stop({ mode: 'kill' }).unwrap()
  expect(await vm.getState().unwrap()).toBe('stopped')
})

test('a command during which QEMU dies or the connection is closed ends with what is known of it', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  await vm.start().unwrap()
  const [args] = await slowCommand(host)
  const killed = vm.native.qmp('pmemsave', args)
  await untilKept(host, vm)
  process.kill(await host.pidOf(vm), 'SIGKILL')
  expect((await failureOf(killed, 'INVALID_STATE')).state).toBe('crashed')

  await vm.start().unwrap()
  const closed = vm.native.qmp('pmemsave', args)
  await untilKept(host, vm)
  await host.server.close().unwrap()
  await failureOf(closed, 'OUTCOME_UNKNOWN')
})
