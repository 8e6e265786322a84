import { batch, connect, Job, ok, ResourceBusyError, type VmError } from 'awaitvm'
import { createJob } from 'awaitvm/testing'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { fakeServer } from '../../support/fake-server.js'

/** A job that has failed, or that fails once it is waited for. */
function failing(isLate = true): Job<void> {
  const { job, fail } = createJob()
  const end = (): void => fail(new ResourceBusyError({ reason: 'locked' }))
  if (isLate) setImmediate(end)
  else end()
  return job
}

/** The line of this file that calls it. */
const here = (): number => Number(/unwrap-stack\.test\.ts:(\d+)/.exec(new Error().stack?.split('\n')[2] ?? '')?.[1])

const linesOf = ({ stack = '' }: VmError): number[] =>
  [...stack.matchAll(/unwrap-stack\.test\.ts:(\d+)/g)].map(([, line]) => Number(line))

const thrownBy = async (call: () => Promise<unknown>): Promise<VmError> =>
  await call().then(
    () => expect.fail('it did not throw'),
    (error: unknown) => error as VmError,
  )

test.for<[string, () => Promise<unknown>]>([
  ['a job', () => failing().unwrap()],
  ['a job that has failed before', () => failing(false).unwrap()],
  ['Job.all', () => Job.all([failing(), failing()]).unwrap()],
  ['connect', () => connect('nowhere:').unwrap()],
  ['batch', () => batch(5 as never, () => failing()).unwrap()],
])('the stack of what unwrap of %s throws names the line that awaits it', async ([, call]) => {
  const line = here() + 1
  const error = await thrownBy(async () => await call())
  expect(linesOf(error)).toContain(line)
  expect(error.stack?.startsWith(`${error.name}: ${error.message}\n`)).toBe(true)
})

test('it goes through the functions of the user, and through Promise.all', async () => {
  const lines: number[] = []
  const inner = async (): Promise<void> => {
    lines.push(here() + 1)
    await failing().unwrap()
  }
  const outer = async (): Promise<void> => {
    lines.push(here() + 1)
    await Promise.all([turn(), inner()])
  }
  expect(linesOf(await thrownBy(outer))).toEqual(expect.arrayContaining(lines))
})

test('each caller finds its own line, and none of an earlier one', async () => {
  const job = failing(false)
  const first = here() + 1
  const thrown = await thrownBy(async () => await job.unwrap())
  expect(linesOf(thrown)).toContain(first)
  const second = here() + 1
  const again = await thrownBy(async () => await job.unwrap())
  expect(again).toBe(thrown)
  expect(linesOf(again)).toContain(second)
  expect(linesOf(again)).not.toContain(first)
})

test('in a batch, and of a loop over statistics', async () => {
  const line = here() + 2
  const report = await batch([1], async () => {
    await failing().unwrap()
    return ok()
  }).unwrap()
  expect(linesOf(report.failed[0]?.result.error as VmError)).toContain(line)

  const { vm } = await fakeServer()
  const statistics = vm.watchStatistics({ signal: AbortSignal.abort() })
  const next = here() + 1
  const error = await thrownBy(async () => await statistics.next())
  expect(linesOf(error)).toContain(next)
})
