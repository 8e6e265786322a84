import { connect, type Result, type Server, type Vm, type VmError } from 'awaitvm'
import { expect, test } from 'vitest'
import { within } from '../../src/testing/conformance/deadline.js'
import { PrlctlDouble, type Settings } from '../support/prlctl-double.js'
import { prepare, steps, truthOf, type Host, type Step } from './parallels-round.js'

const changes = [
  ...['create', 'clone', 'delete', 'unregister', 'set', 'start', 'stop', 'pause', 'resume', 'suspend', 'reset'],
  ...['restart', 'snapshot', 'snapshot-switch', 'snapshot-delete', 'exec', 'capture'],
]
const forAll = <T>(value: T): Record<string, T> => Object.fromEntries(changes.map((verb) => [verb, value]))
const always = 1_000_000
const failing = (text: string): Settings => ({ failures: forAll({ text: `Failed to do it: ${text}`, times: always }) })

/** Faults in spite of which the operations succeed. */
const harmless: Record<string, Settings> = {
  'no fault at all': {},
  'a slow host of Virtuozzo': {
    flavour: 'virtuozzo',
    delays: { firstByte: 10, start: 100, stop: 80, teardown: 80, snapshot: 60 },
  },
  'all harmless faults': {
    jsonPrefix: 'This feature is not available in this edition of Parallels Desktop.\nOperation progress ... 5%',
    rawInStrings: 'a\u0001b\u001f',
    truncatedLists: 2,
    truncatedSnapshotLists: 2,
    buffersProgress: true,
    startReturns: 'running',
    startOfRunning: 'success',
    spuriousExec: always,
    monitor: { noise: 'x\n{"y": 1}\n', echoesLists: true, diesAfter: 3 },
  },
}

const harmful: Record<string, Settings> = {
  'no service': { isServiceDown: true },
  'an edition without a command line': { edition: 'standard' },
  'data synchronization': failing('Data synchronization is currently in progress in the virtual machine.'),
  'a busy VM': failing('Unable to perform the action because the virtual machine is busy. It is being backed up.'),
  'an error that does not tell the state': failing(
    'Unable to perform the operation because the virtual machine is not started.',
  ),
  'a failed operation': failing('Operation failed. Failed to execute the operation.'),
  'a full host': failing('There is not enough disk space.'),
  'programs that do not run': { emptyExec: always },
  'tools that never start': { delays: { tools: always } },
  'truncated lists': { truncatedLists: always, truncatedSnapshotLists: always },
  'a VM that vanishes': { vanishesOn: changes },
  'commands that hang': { hangs: changes },
  'commands that hang, and ignore signals': { hangs: changes, hangsHard: true },
  'lists that hang': { hangs: ['list', 'snapshot-list'] },
  'commands that succeed, and hang': { endings: forAll('hang') },
  'commands that succeed, and print nothing': { endings: forAll('silence') },
  'commands that succeed, and lose the service': { endings: forAll('lost') },
  'many faults': {
    ...failing('Data synchronization is currently in progress in the virtual machine.'),
    failures: forAll({
      text: 'Failed to do it: Operation failed. Failed to execute the operation.',
      times: 1,
      after: 1,
    }),
    endings: { start: 'lost', set: 'silence', clone: 'lost', snapshot: 'silence', stop: 'hang', delete: 'lost' },
    jsonPrefix: 'Operation progress ... 5%',
    rawInStrings: 'a\u0001b\u001f',
    truncatedLists: 7,
    truncatedSnapshotLists: 4,
    spuriousExec: 1,
    buffersProgress: true,
    delays: { firstByte: 10 },
    monitor: { noise: 'x\n{"y": 1}\n', echoesLists: true, diesAfter: 3 },
  },
}

interface TriedHost extends Host {
  /** A connection without time limits. */
  readonly calm: Server
  readonly vms: Map<string, Vm>
}

/** Runs a step on a host with the fault, and compares its outcome with the host's state. */
async function run(host: TriedHost, step: Step, fault: Settings, mayFail: boolean): Promise<void> {
  const { double } = host
  await double.set(fault.flavour === undefined ? {} : { flavour: fault.flavour })
  const { id } = await prepare({ double, server: host.calm }, step.from)
  const vm = host.vms.get(id) ?? (await host.server.getVm(id).unwrap())
  host.vms.set(id, vm)
  const before = await truthOf(double)
  const moment = { ...host, vm, before }
  await double.set(fault)
  const result: Result<unknown, VmError> = await within(step.call(moment), () => 'the end of the operation')
  const after = await truthOf(double)
  if (result.isOk()) {
    expect(await step.isDone(after, moment, result.value), 'it was done').toBe(true)
    return
  }
  const { code, message } = result.error
  if (!mayFail) expect.fail(message)
  expect(message).toMatch(/^Cannot /)
  if (code === 'OUTCOME_UNKNOWN') {
    expect(step.isQuestion, 'a query changes nothing').not.toBe(true)
    return
  }
  const there = code === 'VM_NOT_FOUND' ? before.vms.filter(({ id }) => id !== vm.id) : before.vms
  expect(after, `${code} says that nothing was done`).toEqual({
    vms: there,
    runs: code === 'VM_NOT_FOUND' ? 0 : before.runs,
  })
}

async function round(fault: Settings, mayFail: boolean): Promise<void> {
  const { flavour = 'desktop', hangs, endings = {} } = fault
  await using double = await PrlctlDouble.make({ flavour })
  // A short limit for hangs, and a long one for the rest.
  const isShort = hangs !== undefined || Object.values(endings).includes('hang')
  const limit = isShort ? { timeoutMs: 1000 } : {}
  const queryTimeoutMs = hangs?.includes('list') === true ? 1000 : 10_000
  const times = isShort ? `&queryTimeoutMs=${String(queryTimeoutMs)}&changeTimeoutMs=1000` : ''
  const server = await connect(`${double.uri}${times}`).unwrap()
  const calm = await connect(double.uri).unwrap()
  const vms = new Map<string, Vm>()
  for (const [name, step] of Object.entries(steps)) {
    await run({ double, server, limit, calm, vms }, step, fault, mayFail).catch((error: unknown) => {
      throw new Error(name, { cause: error })
    })
  }
  await within(server.close().unwrap(), () => 'the close')
  await calm.close().unwrap()
  expect(await double.processes()).toEqual([])
}

test.each(Object.keys(harmless))(
  'with %s, every operation succeeds',
  async (fault) => {
    await round(harmless[fault] ?? {}, false)
  },
  600_000,
)

test.each(Object.keys(harmful))(
  'with %s, every operation reports truthfully whether it took effect',
  async (fault) => {
    await round(harmful[fault] ?? {}, true)
  },
  600_000,
)
