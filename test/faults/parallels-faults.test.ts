import { batch, connect, type Job, type Result, type Server, type Vm, type VmError, type VmErrorCode } from 'awaitvm'
import { expect, test } from 'vitest'
import { within } from '../../src/testing/conformance/deadline.js'
import { EventLog } from '../../src/testing/conformance/event-log.js'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { PrlctlDouble } from '../support/prlctl-double.js'

type Settings = Parameters<PrlctlDouble['set']>[0]

interface Trial {
  readonly double: PrlctlDouble
  readonly server: Server
  readonly vm: Vm
}

/** Runs a case on its own host with one VM, and asserts that it leaves no program behind. */
function faulty(title: string, run: (trial: Trial) => Promise<void>, query: Record<string, string> = {}): void {
  test(title, async () => {
    await using double = await PrlctlDouble.make()
    const options = new URLSearchParams({ prlctl: double.prlctl, ...query }).toString()
    const server = await connect(`parallels:?${options}`).unwrap()
    const vm = await server.createVm({ name: 'web-1', description: 'the only one' }).unwrap()
    await run({ double, server, vm })
    await within(server.close().unwrap(), () => 'the close')
    expect(await double.processes()).toEqual([])
  })
}

const startedVm = async ({ double, vm }: Trial, settings: Settings = {}): Promise<void> => {
  await vm.start().unwrap()
  await double.set(settings)
}

test('a service that is down', async () => {
  await using double = await PrlctlDouble.make({ isServiceDown: true })
  const error = await failureOf(connect(double.uri), 'CONNECTION_FAILED')
  expect(error.retryable).toBe(true)
  expect(error.hint).toContain('Start Parallels Desktop')
  expect(await double.processes()).toEqual([])
})

faulty('a service that stops while the connection is open', async ({ double, server, vm }) => {
  await double.set({ isServiceDown: true })
  for (const call of [server.getVmList(), vm.getState(), vm.start(), vm.clone({ name: 'x' }), vm.delete()]) {
    const result: Result<unknown, VmError> = await call
    expect(result.isErr() && result.error.code).toBe('CONNECTION_FAILED')
  }
  await double.set({})
  expect(await vm.getState().unwrap()).toBe('stopped')
})

test('an edition without the command line', async () => {
  await using double = await PrlctlDouble.make()
  await using server = await connect(double.uri).unwrap()
  const vm = await server.createVm({ name: 'web-1' }).unwrap()
  await double.set({ edition: 'standard' })
  const error = await failureOf(vm.clone({ name: 'copy' }), 'NOT_SUPPORTED')
  expect(error.hint).toContain('Pro')
})

for (const hangsHard of [false, true]) {
  const how = hangsHard ? 'hangs and heeds no signal' : 'hangs'
  faulty(
    `a question that ${how} ends with TIMEOUT`,
    async ({ double, server, vm }) => {
      await double.set({ hangs: ['list'], hangsHard })
      const asked = [vm.getState(), server.getVmList(), vm.start()] as const
      await Promise.all(
        asked.map((job: Job<unknown>) =>
          failureOf(
            within(job, () => job.operation),
            'TIMEOUT',
          ),
        ),
      )
      await double.set({})
      expect(await vm.getState().unwrap()).toBe('stopped')
    },
    // Every other query has as much.
    { queryTimeoutMs: '8000' },
  )

  faulty(
    `a change that ${how} ends with OUTCOME_UNKNOWN, and the VM can be worked on again`,
    async ({ double, vm }) => {
      await double.set({ hangs: ['start', 'set', 'snapshot'], hangsHard })
      await failureOf(
        within(vm.start(), () => 'the start'),
        'OUTCOME_UNKNOWN',
      )
      await failureOf(
        within(vm.edit({ description: 'x' }), () => 'the edit'),
        'OUTCOME_UNKNOWN',
      )
      await failureOf(
        within(vm.createSnapshot({ name: 'x' }), () => 'the snapshot'),
        'OUTCOME_UNKNOWN',
      )
      await double.set({})
      await vm.start().unwrap()
    },
    { changeTimeoutMs: '4000' },
  )
}

faulty('a program that hangs is stopped when its job is cancelled or times out', async (trial) => {
  const { vm } = trial
  await startedVm(trial, { hangs: ['exec'] })
  const job = vm.guest.exec(['true'])
  await failureOf(vm.guest.exec(['true'], { timeoutMs: 300 }), 'TIMEOUT', 'OUTCOME_UNKNOWN')
  const verdict = await within(job.cancel(), () => 'the verdict')
  // The outcome is unknown, unless prlctl had only just begun.
  await failureOf(job, verdict.isOk() ? 'JOB_CANCELLED' : 'OUTCOME_UNKNOWN')
})

faulty('a close ends commands that hang', async ({ double, server, vm }) => {
  await double.set({ hangs: ['start'], hangsHard: true })
  const job = vm.start()
  const log = new EventLog(server.events())
  await within(server.close().unwrap(), () => 'the close')
  await failureOf(job, 'OUTCOME_UNKNOWN', 'CONNECTION_FAILED')
  await log.ended
})

faulty('a program reports its own exit code if prlctl reports a wrong one', async (trial) => {
  const { vm } = trial
  await startedVm(trial, { spuriousExec: 2 })
  for (const code of [0, 7, 255]) {
    const { exitCode, stdout, stderr } = await vm.guest
      .exec(['sh', '-c', 'echo out; echo err >&2; exit "$1"', 'sh', String(code)])
      .unwrap()
    expect([exitCode, Buffer.from(stdout).toString(), Buffer.from(stderr).toString()]).toEqual([code, 'out\n', 'err\n'])
  }
})

faulty('a program that prlctl did not run, but reports as run, ends with OUTCOME_UNKNOWN', async (trial) => {
  const { vm } = trial
  await startedVm(trial, { emptyExec: 1 })
  const error = await failureOf(vm.guest.exec(['echo', 'x']), 'OUTCOME_UNKNOWN')
  expect(error.hint).toContain('run it again')
  expect(Buffer.from((await vm.guest.exec(['echo', 'x']).unwrap()).stdout).toString()).toBe('x\n')
})

faulty('tools that start slowly end with a GUEST_UNAVAILABLE that may be retried', async (trial) => {
  const { vm } = trial
  await trial.double.set({ delays: { tools: 60_000 } })
  await vm.start().unwrap()
  await failureOf(vm.guest.exec(['true']), 'GUEST_UNAVAILABLE')
  await trial.double.set({})
  expect((await vm.guest.exec(['true']).unwrap()).exitCode).toBe(0)
})

faulty('a truncated answer is asked for again', async ({ double, server, vm }) => {
  await double.set({ truncatedLists: 2 })
  expect(await server.getVmList().unwrap()).toEqual([vm])
  await double.set({ truncatedLists: 1000 })
  await failureOf(server.getVmList(), 'PROTOCOL_ERROR')
})

faulty('JSON is read in spite of text before it and control characters in it', async ({ double, server, vm }) => {
  await double.set({ jsonPrefix: 'Operation progress ... 5%', rawInStrings: 'a\u0001b\u001f' })
  expect(await server.getVmList().unwrap()).toEqual([vm])
  await vm.start().unwrap()
  await vm.createSnapshot({ name: 'one' }).unwrap()
  expect(await vm.getSnapshotTree().unwrap()).toMatchObject([{ name: 'one' }])
})

faulty('data synchronization ends with RESOURCE_BUSY', async ({ double, vm }) => {
  const { id } = await vm.createSnapshot({ name: 'one' }).unwrap()
  const text =
    'Failed to switch to snapshot: The operation cannot be performed at the moment. Data synchronization is currently in progress.'
  await double.set({ failures: { 'snapshot-switch': { text, times: 1 } } })
  const error = await failureOf(vm.switchToSnapshot(id), 'RESOURCE_BUSY')
  expect(error.retryable).toBe(true)
  await vm.switchToSnapshot(id).unwrap()
})

faulty('a guest that refuses to shut down is a failure, not a cancellation', async (trial) => {
  const text = 'Failed to stop the VM: Operation canceled. The operation has been canceled.'
  await startedVm(trial, { failures: { stop: { text, times: 2 } } })
  const { vm } = trial
  const error = await failureOf(vm.stop(), 'HOST_ERROR')
  expect(error.hint).toContain("vm.stop({ mode: 'kill' })")
  expect(error.native).toMatchObject({ code: 'PRL_ERR_OPERATION_WAS_CANCELED (0x80000275)', message: text })
  const report = await batch([vm], (each) => each.stop()).unwrap()
  expect(report.counts).toMatchObject({ failed: 1, cancelled: 0 })
  await vm.stop({ mode: 'kill' }).unwrap()
})

for (const verb of ['unregister', 'delete'] as const) {
  faulty(`${verb} of a VM whose files can not be read is passed on`, async ({ double, server, vm }) => {
    await double.set({ invalid: ['web-1'] })
    const listed = await server.getVmList({ state: 'unknown' }).unwrap()
    expect(listed).toEqual([vm])
    expect(vm.problem?.message).toMatch(/Parallels calls it invalid: its files in \/.*\.pvm are damaged/)
    for (const job of [vm.start(), vm.edit({ cpus: 2 }), vm.clone({ name: 'copy' }), vm.refresh()] as const) {
      const error = await failureOf<'PROTOCOL_ERROR'>(job, 'PROTOCOL_ERROR')
      expect(error.hint).toContain('vm.unregister()')
    }
    await vm[verb]().unwrap()
    expect(await server.getVmList().unwrap()).toEqual([])
    expect(await double.truth()).toEqual([])
  })
}

faulty('a template is listed and told apart, cloned, and never started', async ({ double, server, vm }) => {
  await double.prlctlOutput('clone', vm.name, '--name', 'golden', '--template')
  const template = await server.getVm('golden').unwrap()
  expect(template.native.details).toEqual({ driver: 'parallels', isTemplate: true })
  expect(await server.getVm(template.id).unwrap()).toBe(template)
  const listed = await server.getVmList().unwrap()
  expect(listed.map(({ name, native }) => [name, native.details])).toEqual([
    ['web-1', { driver: 'parallels', isTemplate: false }],
    ['golden', { driver: 'parallels', isTemplate: true }],
  ])
  const error = await failureOf(template.start(), 'NOT_SUPPORTED')
  expect(error.hint).toContain('vm.clone()')
  const copy = await template.clone({ name: 'copy' }).unwrap()
  expect(copy.native.details).toEqual({ driver: 'parallels', isTemplate: false })
  await copy.start().unwrap()
  await template.delete().unwrap()
  await failureOf(server.getVm('golden'), 'VM_NOT_FOUND')
})

faulty('the progress of a clone spans all disks', async ({ double, vm }) => {
  await vm.edit({ disks: [{ sizeMiB: 1 }, { sizeMiB: 1 }, { sizeMiB: 1 }, { sizeMiB: 1 }] }).unwrap()
  await double.set({ delays: { clone: 500 } })
  const seen: [string | undefined, number][] = []
  const job = vm.clone({ name: 'copy' })
  job.onProgress(({ phase, percent }) => seen.push([phase, percent]))
  await job.unwrap()
  for (const disk of [1, 2, 3, 4]) {
    const percents = seen
      .filter(([phase]) => phase === `copying hard disk ${String(disk)}`)
      .map(([, percent]) => percent)
    expect(Math.min(...percents)).toBeGreaterThanOrEqual(25 * (disk - 1))
    // The last progress of a job is 100, with its last phase.
    expect(Math.min(99, Math.max(...percents))).toBeLessThanOrEqual(25 * disk)
  }
})

test('an error for an answer that is not JSON names prlsrvctl', async () => {
  await using double = await PrlctlDouble.make({ serviceInfo: '{"Custom password protection": [\\"remove-vm\\"]}\n' })
  const error = await failureOf(connect(double.uri), 'PROTOCOL_ERROR')
  expect(error.reason).toBe('the answer of prlsrvctl info --json is cut off, or is not JSON')
  expect(error.native?.message).toContain('remove-vm')
})

const opaque: Record<string, VmErrorCode> = {
  'Failed to start the VM: Operation failed. Failed to execute the operation.': 'HOST_ERROR',
  'Failed to start the VM: PRL_ERR_VM_ABORT': 'HOST_ERROR',
  '': 'OUTCOME_UNKNOWN',
  'Failed to start the VM: You do not have the permission to perform this operation.': 'PERMISSION_DENIED',
}
for (const [text, code] of Object.entries(opaque)) {
  faulty(`a failure with the words "${text}" ends with ${code}, and the host's own words`, async ({ double, vm }) => {
    await double.set({ failures: { start: { text, times: 1 } } })
    const error = await failureOf(vm.start(), code)
    expect(error.native?.message).toMatch(text === '' ? /255/ : /Failed to start/)
    expect(await vm.getState().unwrap()).toBe('stopped')
    await vm.start().unwrap()
  })
}

faulty(
  'a VM that vanishes between the question and the command ends with VM_NOT_FOUND',
  async ({ double, server, vm }) => {
    const log = new EventLog(server.events())
    await double.set({ vanishesOn: ['start'] })
    await failureOf(vm.start(), 'VM_NOT_FOUND')
    await log.until(({ type }) => type === 'deleted')
    expect(await server.getVmList().unwrap()).toEqual([])
  },
)

faulty('a creation that can not be finished leaves nothing behind', async ({ double, server, vm }) => {
  const before = await double.files()
  await double.set({ failures: { set: { text: 'Failed to configure the virtual machine.', times: 1 } } })
  await failureOf(server.createVm({ name: 'half', memoryMiB: 512 }), 'INVALID_ARGUMENT')
  expect(await server.getVmList().unwrap()).toEqual([vm])
  expect(await double.files()).toEqual(before)
})

faulty('linked clones of one VM are made one after another', async ({ vm }) => {
  const names = ['a', 'b', 'c']
  const copies = await Promise.all(names.map((name) => vm.clone({ name, linked: true })))
  expect(copies.map((copy) => (copy.isOk() ? copy.value.name : copy.error.message))).toEqual(names)
})

faulty('progress that comes only at the end', async ({ double, vm }) => {
  await double.set({ buffersProgress: true })
  const job = vm.clone({ name: 'copy' })
  const seen: number[] = []
  job.onProgress(({ percent }) => seen.push(percent))
  await job.unwrap()
  expect(seen).toEqual(seen.toSorted((a, b) => a - b))
  expect(seen.at(-1)).toBe(100)
})

faulty('a start of a running VM is refused without asking the host', async (trial) => {
  await startedVm(trial, { startOfRunning: 'success' })
  await failureOf(trial.vm.start(), 'INVALID_STATE')
})

faulty('a host whose output is slow', async ({ double, vm }) => {
  await double.set({ delays: { firstByte: 150 } })
  await vm.start().unwrap()
  expect(vm.state).toBe('running')
})

test('events arrive in spite of noise, buffering, and a monitor that ends', async () => {
  const line = 'x'.repeat(100)
  for (const monitor of [{ noise: `${line}\n{"not": "an event"}\n` }, { blockBytes: 100_000 }, { diesAfter: 1 }]) {
    await using double = await PrlctlDouble.make({ monitor })
    await using server = await connect(`${double.uri}&listEveryMs=300`).unwrap()
    const log = new EventLog(server.events())
    await double.prlctlOutput('create', 'by-another')
    await double.prlctlOutput('start', 'by-another')
    await log.until((event) => event.type === 'created' && event.name === 'by-another')
    await log.until((event) => event.type === 'state' && event.state === 'running')
  }
})

test('lists that make events do not lead to endless lists', async () => {
  await using double = await PrlctlDouble.make({ monitor: { echoesLists: true } })
  await using server = await connect(`${double.uri}&listEveryMs=600000`).unwrap()
  const vm = await server.createVm({ name: 'web-1' }).unwrap()
  const log = new EventLog(server.events())
  const changes = (): number => log.events.filter(({ type }) => type === 'config').length
  // A change within a second of an echo is only seen in the next list.
  for (let times = 0; changes() === 0; times += 1) {
    await double.prlctlOutput('set', 'web-1', '--description', `by another, ${String(times)}`)
  }
  await vm.refresh().unwrap()
  const told = changes()
  for (let times = 0; times < 20; times += 1) await vm.getState().unwrap()
  expect(changes()).toBe(told)
  const events = await double.eventCount()
  // Another client asks often enough for an echo to have come back many times.
  for (let times = 0; times < 20; times += 1) await double.prlctlOutput('status', 'web-1')
  expect((await double.eventCount()) - events).toBeLessThan(5)
})
