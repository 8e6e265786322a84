import { expect, vi } from 'vitest'
import { signalOf, type SignalName } from '../../../model/signal.js'
import type { ExecResult } from '../../../model/exec.js'
import { soon, within } from '../deadline.js'
import { failureOf } from '../expect-failure.js'
import { beginProgram, runningOf } from '../guest-program.js'
import type { OutputReader } from '../output-reader.js'
import type { Cases } from '../case.js'

/** Ignores signals, and has children and grandchildren, whose ids it prints; the last of them says so. */
const family = `trap "" TERM INT HUP
sleep 600 & echo "child $!"
sh -c 'sleep 600 & echo "child $!"; sleep 600 & echo "child $!"; wait; true' &
echo "child $!"
wait; wait`

/** Reported by the kernel, or by a shell in between. */
const signalIn = ({ exitCode, signal }: ExecResult): SignalName | undefined =>
  exitCode === undefined ? signal : signalOf(exitCode - 128)

async function pidsOfFamily(output: OutputReader, pid: number): Promise<number[]> {
  const pids = [pid]
  for (let count = 0; count < 4; count += 1) pids.push(Number((await output.until(/child (\d+)\n/))[1]))
  return pids
}

export const guestSignals: Cases = ({ promisesInGuest }) => {
  promisesInGuest('a signal reaches the program, which may catch it', ['guest.exec'], async (vm) => {
    const catching = 'trap "echo caught; exit 7" TERM; echo ready; while :; do sleep 0.1; done'
    const { job, output } = await beginProgram(vm, catching)
    await output.until('ready\n')
    await job.kill().unwrap()
    await output.until('caught\n')
    expect((await job.unwrap()).exitCode).toBe(7)

    const other = await beginProgram(vm, 'trap "echo other; exit 8" USR1; echo ready; while :; do sleep 0.1; done')
    await other.output.until('ready\n')
    await other.job.kill('SIGUSR1').unwrap()
    expect((await other.job.unwrap()).exitCode).toBe(8)
  })

  promisesInGuest('a program that a signal ends has that signal as its result', ['guest.exec'], async (vm) => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const { job, pid } = await beginProgram(vm)
      await job.kill(signal).unwrap()
      expect(signalIn(await job.unwrap())).toBe(signal)
      expect(await runningOf(vm, [pid])).toEqual([])
    }
  })

  promisesInGuest('a signal that the program ignores leaves it running', ['guest.exec'], async (vm) => {
    const { job, pid, output } = await beginProgram(vm, 'trap "" TERM; echo deaf; while :; do sleep 0.1; done')
    await output.until('deaf\n')
    await job.kill('SIGTERM').unwrap()
    expect(job.status).toBe('running')
    expect(await runningOf(vm, [pid])).toEqual([pid])
    await job.kill('SIGKILL').unwrap()
    expect(signalIn(await job.unwrap())).toBe('SIGKILL')
  })

  promisesInGuest('a signal for a program that has ended is refused', ['guest.exec'], async (vm) => {
    const job = vm.guest.exec(['true'])
    await job.unwrap()
    await failureOf(job.kill('SIGTERM'), 'JOB_FINISHED')
    expect((await job.unwrap()).exitCode).toBe(0)
  })

  promisesInGuest('a signal at once reaches the program, once it has begun', ['guest.exec'], async (vm) => {
    const job = vm.guest.exec(['sleep', '600'])
    await job.kill('SIGKILL').unwrap()
    expect(signalIn(await job.unwrap())).toBe('SIGKILL')
  })

  promisesInGuest('a cancel ends the program with all that it started', ['guest.exec'], async (vm) => {
    const { job, pid, output } = await beginProgram(vm, family)
    const pids = await pidsOfFamily(output, pid)
    expect((await runningOf(vm, pids)).length).toBe(5)
    await job.cancel().unwrap()
    await failureOf(job, 'JOB_CANCELLED')
    expect(await runningOf(vm, pids)).toEqual([])
    await failureOf(job.cancel(), 'JOB_FINISHED')
  })

  promisesInGuest('a program that takes too long is ended with all that it started', ['guest.exec'], async (vm) => {
    // The time must be enough for the program to begin on a slow machine.
    const { job, pid, output } = await beginProgram(vm, family, { timeoutMs: 5000 })
    const pids = await pidsOfFamily(output, pid)
    await within(job, () => 'the timeout')
    const error = await failureOf(job, 'TIMEOUT', 'OUTCOME_UNKNOWN')
    expect(error.hint).toBeTruthy()
    if (error.code === 'TIMEOUT') expect(await runningOf(vm, pids)).toEqual([])
    else await vi.waitFor(async () => expect(await runningOf(vm, pids)).toEqual([]), soon)
  })

  promisesInGuest(
    'a program that leaves a child in the background ends when it ends itself',
    ['guest.exec'],
    async (vm) => {
      for (const script of [
        'sleep 600 & echo "child $!"',
        '(sleep 600; true) & echo "child $!"; printf more >&2; exit 3',
      ]) {
        const { job, output } = await beginProgram(vm, script)
        const [, child] = await output.until(/child (\d+)\n/)
        const { exitCode, stderr } = await within(job.unwrap(), () => 'the end of the program')
        expect([exitCode, stderr]).toEqual(script.endsWith('exit 3') ? [3, 'more'] : [0, ''])
        await output.untilClosed()
        expect(await runningOf(vm, [Number(child)])).toEqual([Number(child)])
        await vm.guest.exec(['kill', '-9', child!]).unwrap()
      }
    },
  )
}
