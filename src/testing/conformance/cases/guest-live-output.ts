import { randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, vi } from 'vitest'
import type { ProgramOutput } from '../../../model/exec.js'
import type { Vm } from '../../../vm.js'
import { soon, within } from '../deadline.js'
import { failureOf } from '../expect-failure.js'
import { outputOf } from '../guest-output.js'
import { OutputReader } from '../output-reader.js'
import type { Cases } from '../case.js'

/** Answers each line that it reads: on standard error if it says so. */
const echoing = 'while read -r line; do case "$line" in err*) echo "$line" >&2;; *) echo "$line";; esac; done; exit 3'

/** Writes 64 KiB again and again, and the number of rounds to a file. */
const endless = 'i=0; while head -c 65536 /dev/zero; do i=$((i + 1)); echo "$i" >"$0.new"; mv "$0.new" "$0"; done'

/** More than any host may keep of an output that nobody reads, in rounds of the endless program. */
const maxRounds = 512

/** Waits until the endless program stands still, as other programs run; answers its rounds. */
async function roundsOfStandstill(vm: Vm, file: string): Promise<number> {
  const rounds = async (): Promise<number> =>
    Number((await vm.guest.exec(['sh', '-c', 'cat "$0" 2>/dev/null || echo 0', file]).unwrap()).stdout)
  const stand = async (): Promise<number> => {
    let last = await rounds()
    for (let equal = 0; equal < 5;) {
      const now = await rounds()
      expect(now, 'rounds of a program whose output nobody reads').toBeLessThan(maxRounds)
      equal = now === last ? equal + 1 : 0
      last = now
    }
    return last
  }
  return await within(stand(), () => 'a program that stands still')
}

const newFile = (): string => `/tmp/awaitvm-rounds-${randomBytes(6).toString('hex')}`

export const guestLiveOutput: Cases = ({ promisesInGuest }) => {
  promisesInGuest('output arrives while the program runs', ['guest.exec'], async (vm) => {
    const job = vm.guest.exec(['sh', '-c', echoing], { stdin: 'pipe' })
    const [stdout, stderr] = [new OutputReader(job.stdout), new OutputReader(job.stderr)]
    for (const word of ['one', 'two', 'three']) {
      job.stdin.write(`${word}\nerr ${word}\n`)
      await stdout.until(`${word}\n`)
      await stderr.until(`err ${word}\n`)
    }
    expect(job.status).toBe('running')
    job.stdin.end()
    expect(await job.unwrap()).toMatchObject({
      exitCode: 3,
      stdout: 'one\ntwo\nthree\n',
      stderr: 'err one\nerr two\nerr three\n',
    })
    expect(await stdout.untilClosed()).toBeUndefined()
    expect(await stderr.untilClosed()).toBeUndefined()
  })

  promisesInGuest('`output()` has both outputs as they come, and ends with the program', ['guest.exec'], async (vm) => {
    const job = vm.guest.exec(['sh', '-c', echoing], { stdin: 'pipe' })
    const lines = ['a', 'err b', 'c', 'err d']
    const seen: ProgramOutput<string>[] = []
    job.stdin.write(`${lines[0]!}\n`)
    for await (const piece of job.output()) {
      seen.push(piece)
      const next = lines[seen.length]
      if (next === undefined) job.stdin.end()
      else job.stdin.write(`${next}\n`)
    }
    expect(seen).toEqual([
      { stream: 'stdout', data: 'a\n' },
      { stream: 'stderr', data: 'err b\n' },
      { stream: 'stdout', data: 'c\n' },
      { stream: 'stderr', data: 'err d\n' },
    ])
    expect((await job.unwrap()).exitCode).toBe(3)
  })

  promisesInGuest('`onOutput` gets each piece before the program ends', ['guest.exec'], async (vm) => {
    const seen: ProgramOutput<string>[] = []
    const job = vm.guest.exec(['sh', '-c', echoing], {
      stdin: 'pipe',
      onOutput: (piece) => void seen.push(piece),
    })
    job.stdin.write('é\n')
    await vi.waitFor(() => expect(seen).toEqual([{ stream: 'stdout', data: 'é\n' }]), soon)
    job.stdin.end('err\n')
    await job.unwrap()
    expect(seen).toEqual([
      { stream: 'stdout', data: 'é\n' },
      { stream: 'stderr', data: 'err\n' },
    ])
  })

  promisesInGuest('a slow reader gets all output in order, and so does a late one', ['guest.exec'], async (vm) => {
    const script = 'i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); echo "$i"; done'
    const expected = Array.from({ length: 20_000 }, (_, index) => `${String(index + 1)}\n`).join('')
    const job = vm.guest.exec(['sh', '-c', script])
    const chunks: Buffer[] = []
    for await (const chunk of job.stdout) {
      chunks.push(chunk as Buffer)
      await turn()
    }
    expect(Buffer.concat(chunks).toString() === expected).toBe(true)
    expect((await job.unwrap()).stdout === expected).toBe(true)

    const ended = vm.guest.exec(['sh', '-c', script])
    await ended.unwrap()
    const late = new OutputReader(ended.stdout)
    await late.untilClosed()
    expect(late.text === expected).toBe(true)
  })

  promisesInGuest(
    'a program stands still while nobody reads its stream, other programs go on, and a cancel ends it',
    ['guest.exec'],
    async (vm) => {
      const file = newFile()
      const job = vm.guest.exec(['sh', '-c', endless, file])
      const reader = job.stdout[Symbol.asyncIterator]()
      await reader.next()
      const rounds = await roundsOfStandstill(vm, file)
      expect(job.status).toBe('running')

      // It goes on when it is read again.
      const goOn = async (): Promise<void> => {
        while (Number(await outputOf(vm, ['cat', file])) <= rounds) await reader.next()
      }
      await within(goOn(), () => 'a program that goes on')
      await job.cancel().unwrap()
      await failureOf(job, 'JOB_CANCELLED')
      await outputOf(vm, ['rm', '-f', file, `${file}.new`])
    },
    { timeoutMs: 240_000 },
  )

  promisesInGuest(
    'the program waits for the promise of `onOutput`',
    ['guest.exec'],
    async (vm) => {
      const file = newFile()
      let calls = 0
      let goOn: () => void = () => undefined
      const job = vm.guest.exec(['sh', '-c', endless, file], {
        maxOutputBytes: 0,
        onOutput() {
          calls += 1
          return new Promise((resolve) => {
            goOn = resolve
          })
        },
      })
      await vi.waitFor(() => expect(calls).toBe(1), soon)
      await roundsOfStandstill(vm, file)
      expect(calls).toBe(1)
      goOn()
      await vi.waitFor(() => expect(calls).toBe(2), soon)
      await job.cancel().unwrap()
      await failureOf(job, 'JOB_CANCELLED')
      await outputOf(vm, ['rm', '-f', file, `${file}.new`])
    },
    { timeoutMs: 240_000 },
  )

  promisesInGuest('output that nobody reads holds nothing back', ['guest.exec'], async (vm) => {
    const script = 'head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; echo end'
    const job = vm.guest.exec(['sh', '-c', script], { maxOutputBytes: 1000, encoding: 'buffer' })
    const { exitCode, stdout, stderr, isTruncated } = await job.unwrap()
    expect([exitCode, stdout.length, stderr.length, isTruncated]).toEqual([0, 1000, 1000, true])
  })

  promisesInGuest('a reader that leaves holds nothing back', ['guest.exec'], async (vm) => {
    const job = vm.guest.exec(['sh', '-c', 'echo first; head -c 3000000 /dev/zero; exit 2'], { maxOutputBytes: 10 })
    for await (const piece of job.output()) {
      expect(piece.stream).toBe('stdout')
      break
    }
    const { exitCode, stdout } = await job.unwrap()
    expect([exitCode, stdout.slice(0, 6)]).toEqual([2, 'first\n'])
  })
}
