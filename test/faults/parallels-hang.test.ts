import { connect, type Capability } from 'awaitvm'
import { expect, test } from 'vitest'
import { PrlctlDouble } from '../support/prlctl-double.js'
import { timedCalls } from '../support/timed-calls.js'

const timeoutMs = 300
/** The time limit, with tolerance for a loaded machine. The host itself would take a minute and longer. */
const maxMs = 10_000

const changes = [
  'start',
  'stop',
  'pause',
  'resume',
  'suspend',
  'reset',
  'restart',
  'set',
  'clone',
  'delete',
  'unregister',
]

for (const [title, isDeaf, hangs] of [
  ['hangs on every query', true, ['list', 'snapshot-list', 'info', 'register', 'capture', 'exec', 'send-key-event']],
  [
    'hangs on every change',
    false,
    [...changes, 'snapshot', 'snapshot-switch', 'snapshot-delete', 'register', 'capture', 'exec', 'send-key-event'],
  ],
] as const) {
  test(`every operation on a prlctl that ${title} keeps its time limit`, { timeout: 120_000 }, async () => {
    await using double = await PrlctlDouble.make()
    await using server = await connect(double.uri, { maxConcurrentOperations: 100 }).unwrap()
    const offered = Object.entries(timedCalls).filter(([operation]) => server.capabilities.has(operation as Capability))
    // A command that hangs blocks its VM.
    const trials = await Promise.all(
      offered.map(async ([operation, call]) => {
        const vm = await server.createVm({ name: operation }).unwrap()
        const { id: snapshot } = await vm.createSnapshot({ name: 'before' }).unwrap()
        if (operation !== 'vm.start') await vm.start().unwrap()
        return { operation, call, vm, snapshot }
      }),
    )
    await double.set({ hangs: [...hangs], hangsHard: true })
    const { folder } = double
    const ends = trials.map(async ({ operation, call, vm, snapshot }) => {
      const began = performance.now()
      const job = call(vm, { timeoutMs }, { server, folder, snapshot })
      const result = await job.wait()
      expect(performance.now() - began, operation).toBeLessThan(maxMs)
      if (result.isOk()) return
      const { error } = result
      if (error.code === 'OUTCOME_UNKNOWN') expect(error.cause, operation).toMatchObject({ code: 'TIMEOUT' })
      else if (isDeaf && operation !== 'server.registerVm') expect(error.code, operation).toBe('TIMEOUT')
    })
    await Promise.all(ends)
    await double.set({})
  })
}
