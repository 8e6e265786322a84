import { PassThrough } from 'node:stream'
import { afterEach, expect, test, vi } from 'vitest'
import { ProgramRunner } from '../../../src/drivers/parallels/program-runner.js'
import type { Transport } from '../../../src/drivers/parallels/transport.js'
import type { Ending, HostProgram } from '../../../src/ssh/host-program.js'

/** A host whose programs run until they are killed. */
const endless: Transport = {
  start(): HostProgram {
    let end: (ending: Ending) => void = () => undefined
    const ended = new Promise<Ending>((resolve) => (end = resolve))
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
    return {
      stdin,
      stdout,
      stderr,
      ended,
      interrupt: () => undefined,
      kill: () => {
        stdout.end()
        stderr.end()
        end({ kind: 'signal', signal: 'SIGKILL' })
      },
    }
  },
} as unknown as Transport

afterEach(() => {
  vi.useRealTimers()
})

test('a program that starts after stopAll has a few seconds', async () => {
  vi.useFakeTimers()
  const runner = new ProgramRunner(endless)
  const running = runner.run(['prlctl', 'start', 'web-1'], { timeoutMs: 600_000 })
  await runner.stopAll()
  expect((await running).isOverdue).toBe(false)
  const later = runner.run(['prlctl', 'delete', 'web-1'], { timeoutMs: 600_000 })
  await vi.advanceTimersByTimeAsync(5000)
  expect((await later).isOverdue).toBe(true)
  expect(vi.getTimerCount()).toBe(0)
})
