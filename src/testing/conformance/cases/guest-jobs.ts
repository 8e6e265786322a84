import { randomBytes } from 'node:crypto'
import { expect, vi } from 'vitest'
import type { ExecJob } from '../../../exec/exec-job.js'
import type { Server } from '../../../server.js'
import type { Vm } from '../../../vm.js'
import { soon, within } from '../deadline.js'
import { failureOf } from '../expect-failure.js'
import { beginProgram, runningOf } from '../guest-program.js'
import { OutputReader } from '../output-reader.js'
import type { Cases } from '../case.js'

/** The token of the program that the host shows among its jobs. */
async function tokenOfProgram(server: Server): Promise<string> {
  return await vi.waitFor(async () => {
    const jobs = await server.getJobs().unwrap()
    const token = jobs.find(({ operation }) => operation === 'guest.exec')?.token
    if (token === undefined) throw new Error(`there is no program among the ${String(jobs.length)} jobs`)
    return token
  }, soon)
}

const talking = 'while read -r line; do echo "got $line"; done; echo over >&2; exit 5'

/** What cases need that attach to a program. */
const attaching = ['guest.exec', 'server.attachJob', 'server.getJobs', 'agent'] as const

/** Starts a detached program, which prints a line. Once the file is there, it goes on to its end. */
async function beginDetached(
  vm: Vm,
  line: string,
  end: string,
): Promise<{ readonly job: ExecJob; readonly file: string }> {
  const file = `/tmp/awaitvm-go-${randomBytes(6).toString('hex')}`
  const script = `echo ${line}; until [ -e "$0" ]; do sleep 0.1; done; rm "$0"; ${end}`
  const job = vm.guest.exec(['sh', '-c', script, file], { detached: true })
  await new OutputReader(job.stdout).until(`${line}\n`)
  return { job, file }
}

const sameVm = (server: Server, { id }: Vm): Promise<Vm> => server.getVm(id).unwrap()

export const guestJobs: Cases = ({ host, promises }) => {
  const keepsPrograms = !host.refusedExecOptions.includes('detached')

  if (keepsPrograms) {
    promises(
      'another connection finds a detached program, and has its output from the beginning, its input and its end',
      attaching,
      async (trial) => {
        const vm = await trial.vmWithAgent()
        const { job, output } = await beginProgram(vm, talking, { stdin: 'pipe', detached: true })
        job.stdin.write('first\n')
        await output.until('got first\n')
        expect(job.token).toBeTruthy()

        const other = await trial.connectAgain()
        const token = await tokenOfProgram(other)
        expect(token).toBe(job.token)
        const attached = other.attachJob(token)
        const [stdout, stderr] = [new OutputReader(attached.stdout), new OutputReader(attached.stderr)]
        await stdout.until('got first\n')
        job.stdin.write('second\n')
        await stdout.until('got second\n')
        attached.stdin.write('third\n')
        await stdout.until('got third\n')
        await output.until('got third\n')
        job.stdin.end()
        await stderr.until('over\n')
        const [mine, theirs] = [await job.unwrap(), await within(attached, () => 'the end of the program')]
        expect(mine).toMatchObject({ exitCode: 5, stderr: 'over\n' })
        expect(theirs.isOk() && theirs.value).toMatchObject({ exitCode: 5, stdout: mine.stdout, stderr: mine.stderr })
      },
    )

    promises('a detached program can be ended through another connection', attaching, async (trial) => {
      const vm = await trial.vmWithAgent()
      const first = await beginProgram(vm, undefined, { detached: true })
      const other = await trial.connectAgain()
      await other
        .attachJob(await tokenOfProgram(other))
        .kill('SIGKILL')
        .unwrap()
      const { exitCode, signal } = await first.job.unwrap()
      expect(exitCode === undefined ? signal : exitCode - 128).toBe(exitCode === undefined ? 'SIGKILL' : 9)

      const second = await beginProgram(vm, undefined, { detached: true })
      const attached = other.attachJob(await tokenOfProgram(other))
      await attached.cancel().unwrap()
      await failureOf(attached, 'JOB_CANCELLED')
      await failureOf(second.job, 'JOB_CANCELLED', 'OUTCOME_UNKNOWN')
      expect(await runningOf(vm, [second.pid])).toEqual([])
    })

    promises(
      'a detached program outlives its connection: the next one finds it, its output and its end',
      attaching,
      async (trial) => {
        const vm = await trial.vmWithAgent()
        const { job, file } = await beginDetached(vm, 'begun', 'echo ended; exit 6')
        const { token } = job
        const next = await trial.reopen()
        await failureOf(job, 'OUTCOME_UNKNOWN')
        expect(await tokenOfProgram(next)).toBe(token)
        const attached = next.attachJob(token!)
        const output = new OutputReader(attached.stdout)
        await output.until('begun\n')
        await (await sameVm(next, vm)).guest.exec(['touch', file]).unwrap()
        await output.until('ended\n')
        const result = await within(attached, () => 'the end of the program')
        expect(result.isOk() && result.value).toMatchObject({ exitCode: 6, stdout: 'begun\nended\n' })
        await vi.waitFor(async () => expect(await next.getJobs().unwrap()).toEqual([]), soon)
      },
    )

    promises(
      'the output of a detached program is kept for the one who attaches to it, also after others have seen its end',
      attaching,
      async (trial) => {
        const vm = await trial.vmWithAgent()
        const { job, file } = await beginDetached(vm, 'kept', 'exit 3')
        const next = await trial.reopen()
        const { job: listed } = await vi.waitFor(async () => {
          const found = (await next.getJobs().unwrap()).find(({ token }) => token === job.token)
          if (found === undefined) throw new Error('the program is not listed')
          // The job itself would be waited for.
          return { job: found }
        }, soon)
        await (await sameVm(next, vm)).guest.exec(['touch', file]).unwrap()
        const seen = await within(listed, () => 'the end of the listed program')
        expect(seen.isOk() && seen.value).toMatchObject({ exitCode: 3 })
        const taken = await within(next.attachJob(job.token!), () => 'the end of the program')
        expect(taken.isOk() && taken.value).toMatchObject({ exitCode: 3, stdout: 'kept\n', isTruncated: false })
      },
    )

    promises(
      "a detached program that the guest can't start is refused as any other, and is no job then",
      attaching,
      async (trial) => {
        const vm = await trial.vmWithAgent()
        const missing = await failureOf(vm.guest.exec(['/no/such/program'], { detached: true }), 'INVALID_ARGUMENT')
        expect(missing.path).toBe('command[0]')
        const folder = vm.guest.exec(['true'], { detached: true, cwd: '/no/such/folder' })
        expect((await failureOf(folder, 'INVALID_ARGUMENT')).path).toBe('options.cwd')
        const other = await trial.connectAgain()
        expect(await other.getJobs().unwrap()).toEqual([])
      },
    )
  }

  if (!keepsPrograms) {
    promises('a program that is to outlive its connection is refused', ['guest.exec', 'agent'], async (trial) => {
      const vm = await trial.vmWithAgent()
      const error = await failureOf(vm.guest.exec(['true'], { detached: true }), 'NOT_SUPPORTED')
      expect(error.capability).toBe('options.detached')
    })
  }

  if (host.sharesRunningVms) {
    promises(
      'a program that is not detached has no token, and other connections do not see it',
      ['guest.exec', 'server.getJobs', 'agent'],
      async (trial) => {
        const { job } = await beginProgram(await trial.vmWithAgent())
        const other = await trial.connectAgain()
        expect(await other.getJobs().unwrap()).toEqual([])
        expect(job.token).toBeUndefined()
        await job.cancel().unwrap()
      },
    )
  }

  if (host.onClose === 'runs-on') {
    promises(
      'a close of the connection ends the programs that are not detached',
      ['guest.exec', 'agent'],
      async (trial) => {
        const vm = await trial.vmWithAgent()
        const { job, pid } = await beginProgram(vm, 'trap "" TERM HUP INT; sleep 600 & wait; wait')
        const next = await trial.reopen()
        await failureOf(job, 'OUTCOME_UNKNOWN')
        const again = await sameVm(next, vm)
        await vi.waitFor(async () => expect(await runningOf(again, [pid])).toEqual([]), soon)
        expect(await next.getJobs().unwrap()).toEqual([])
      },
    )
  }
}
