import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExecResult, Result, Server, Vm, VmError } from 'awaitvm'
import type { PrlctlDouble, TrueVm } from '../support/prlctl-double.js'

export interface Host {
  readonly double: PrlctlDouble
  readonly server: Server
  /** For copies, and programs in a guest, which may take any time. */
  readonly limit: { readonly timeoutMs?: number | undefined }
}

/** The state of the host, and the traces of a program in the guest. */
export interface Truth {
  readonly vms: readonly TrueVm[]
  /** How often the program has run. */
  readonly runs: number
}

interface Moment extends Host {
  readonly vm: Vm
  readonly before: Truth
}

type Settled = 'stopped' | 'running' | 'paused' | 'suspended'

/** An operation, on a VM in this state. */
export interface Step {
  readonly from: Settled
  call(moment: Moment): PromiseLike<Result<unknown, VmError>>
  /** True if the host's state shows the operation's effect, with this value. */
  isDone(after: Truth, moment: Moment, value: unknown): boolean | Promise<boolean>
  /** True if it is a query. */
  readonly isQuestion?: boolean
}

const name = 'web-1'
const ours = ({ vms }: Truth): TrueVm | undefined => vms.find((vm) => vm.name === name)
const named = ({ vms }: Truth, wanted: string): TrueVm | undefined => vms.find((vm) => vm.name === wanted)
const bootsOf = (truth: Truth): number => ours(truth)?.boot ?? 0
const snapshotsOf = (truth: Truth): string[] => Object.keys(ours(truth)?.snapshots ?? {})

const inGuest = (double: PrlctlDouble, vm: { readonly id: string }, file: string): string =>
  join(double.state, 'vms', `${vm.id}.pvm`, 'disk', file)
const runsFile = 'runs'

export async function truthOf(double: PrlctlDouble): Promise<Truth> {
  const vms = await double.truth()
  const vm = ours({ vms, runs: 0 })
  const text = vm === undefined ? '' : await readFile(inGuest(double, vm, runsFile), 'utf8').catch(() => '')
  return { vms, runs: text.length }
}

const changesState = (from: Settled, to: Settled, call: Step['call']): Step => ({
  from,
  call,
  isDone: (after) => ours(after)?.state === to,
})

const boots = (call: Step['call']): Step => ({
  from: 'running',
  call,
  isDone: (after, { before }) => ours(after)?.state === 'running' && bootsOf(after) > bootsOf(before),
})

const asks = (from: Settled, call: Step['call'], isDone: Step['isDone']): Step => ({
  from,
  call,
  isDone,
  isQuestion: true,
})

const firstSnapshot = (truth: Truth): string => snapshotsOf(truth)[0] ?? ''
const local = ({ double }: Host): string => join(double.folder, 'file')

/** Every operation of the driver. */
export const steps: Readonly<Record<string, Step>> = {
  'server.getInfo': asks(
    'stopped',
    ({ server }) => server.getInfo(),
    () => true,
  ),
  'server.getVmList': asks(
    'stopped',
    ({ server }) => server.getVmList(),
    ({ vms }, _moment, value) => (value as Vm[]).length === vms.length,
  ),
  'server.getVm': asks(
    'stopped',
    ({ server }) => server.getVm(name),
    (_after, { vm }, value) => value === vm,
  ),
  'vm.getState': asks(
    'suspended',
    ({ vm }) => vm.getState(),
    (_after, _moment, value) => value === 'suspended',
  ),
  'vm.getSnapshotTree': asks(
    'stopped',
    ({ vm }) => vm.getSnapshotTree(),
    (after, _moment, value) => (value as unknown[]).length > 0 && snapshotsOf(after).length > 0,
  ),
  'vm.screenshot': asks(
    'running',
    ({ vm }) => vm.screenshot(),
    (_after, _moment, value) => (value as Uint8Array).length > 100,
  ),
  'guest.getNetworkAddresses': asks(
    'running',
    ({ vm }) => vm.guest.getNetworkAddresses(),
    (_after, _moment, value) => Array.isArray(value),
  ),
  'server.createVm': {
    from: 'stopped',
    call: ({ server }) => server.createVm({ name: 'new', cpus: 3, disks: [{ sizeMiB: 64 }] }),
    isDone: (after) => named(after, 'new')?.settings.cpus === 3 && named(after, 'new')?.settings.disks.length === 1,
  },
  'vm.clone': {
    from: 'stopped',
    call: ({ vm, limit }) => vm.clone({ name: 'copy', ...limit }),
    isDone: (after) => named(after, 'copy') !== undefined,
  },
  'vm.edit': {
    from: 'stopped',
    call: ({ vm }) => vm.edit({ description: 'edited', cpus: 7, disks: [{ sizeMiB: 1 }] }),
    isDone: (after) =>
      ours(after)?.description === 'edited' &&
      ours(after)?.settings.cpus === 7 &&
      ours(after)?.settings.disks.length === 1,
  },
  'vm.start': changesState('stopped', 'running', ({ vm }) => vm.start()),
  'vm.pause': changesState('running', 'paused', ({ vm }) => vm.pause()),
  'vm.resume': changesState('paused', 'running', ({ vm }) => vm.resume()),
  'vm.resume of a suspended VM': changesState('suspended', 'running', ({ vm }) => vm.resume()),
  'vm.suspend': changesState('running', 'suspended', ({ vm }) => vm.suspend()),
  'vm.suspend of a paused VM': changesState('paused', 'suspended', ({ vm }) => vm.suspend()),
  'vm.reset': boots(({ vm }) => vm.reset()),
  'vm.restart': boots(({ vm }) => vm.restart()),
  'vm.stop': changesState('running', 'stopped', ({ vm }) => vm.stop()),
  'vm.stop by force': changesState('running', 'stopped', ({ vm }) => vm.stop({ mode: 'kill' })),
  'vm.stop of a suspended VM': changesState('suspended', 'stopped', ({ vm }) => vm.stop({ mode: 'kill' })),
  'vm.createSnapshot': {
    from: 'running',
    call: ({ vm }) => vm.createSnapshot({ name: 'another' }),
    isDone: (after, { before }, value) =>
      snapshotsOf(after).length === snapshotsOf(before).length + 1 &&
      snapshotsOf(after).includes((value as { id: string }).id),
  },
  'vm.switchToSnapshot': {
    from: 'running',
    call: ({ vm, before }) => vm.switchToSnapshot(firstSnapshot(before)),
    isDone: (after, { before }) =>
      ours(after)?.currentSnapshot === firstSnapshot(before) && bootsOf(after) > bootsOf(before),
  },
  'vm.deleteSnapshot': {
    from: 'running',
    call: ({ vm, before }) => vm.deleteSnapshot(firstSnapshot(before)),
    isDone: (after, { before }) => !snapshotsOf(after).includes(firstSnapshot(before)),
  },
  'guest.exec': {
    from: 'running',
    call: ({ vm, limit }) => vm.guest.exec(['sh', '-c', `printf x >>${runsFile}; exit 7`], limit),
    isDone: (after, { before }, value) => after.runs === before.runs + 1 && (value as ExecResult).exitCode === 7,
  },
  'guest.copyIn': {
    from: 'running',
    call: async (moment) => {
      await writeFile(local(moment), 'copied in')
      return await moment.vm.guest.copyIn(local(moment), 'in', moment.limit)
    },
    isDone: async (_after, { double, vm }) => (await readFile(inGuest(double, vm, 'in'), 'utf8')) === 'copied in',
  },
  'guest.copyOut': {
    from: 'running',
    call: async (moment) => {
      await writeFile(inGuest(moment.double, moment.vm, 'out'), 'copied out')
      await rm(local(moment), { force: true })
      const result = await moment.vm.guest.copyOut('out', local(moment), moment.limit)
      if (result.isErr() && existsSync(local(moment))) throw new Error('A copy that failed has left a file.')
      return result
    },
    isDone: async (_after, moment) => (await readFile(local(moment), 'utf8')) === 'copied out',
  },
  'vm.unregister': { from: 'stopped', call: ({ vm }) => vm.unregister(), isDone: (after) => ours(after) === undefined },
  'vm.delete': { from: 'stopped', call: ({ vm }) => vm.delete(), isDone: (after) => ours(after) === undefined },
}

/** Prepares a host without faults for a step: one VM in the step's state, with a snapshot. */
export async function prepare({ double, server }: Pick<Host, 'double' | 'server'>, from: Settled): Promise<Vm> {
  for (const { id, name: other } of (await truthOf(double)).vms) {
    if (other !== name) await double.prlctlOutput('delete', `{${id}}`)
  }
  const found = await server.getVm(name)
  const vm = found.isOk() ? found.value : await server.createVm({ name }).unwrap()
  if ((await vm.getSnapshotTree().unwrap()).length === 0) await vm.createSnapshot({ name: 'first' }).unwrap()
  const state = await vm.getState().unwrap()
  if (state === from) return vm
  if (state === 'paused' || (state === 'suspended' && from !== 'stopped')) await vm.resume().unwrap()
  else if (state === 'stopped') await vm.start().unwrap()
  if (from === 'paused') await vm.pause().unwrap()
  if (from === 'suspended') await vm.suspend().unwrap()
  if (from === 'stopped') await vm.stop({ mode: 'kill' }).unwrap()
  return vm
}
