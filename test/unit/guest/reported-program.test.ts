import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { ReportedOutput, reportedProgram, type ReportedProgram } from '../../../src/guest/reported-program.js'
import { signalScript, stopScript } from '../../../src/guest/stop-scripts.js'
import { within } from '../../../src/testing/conformance/deadline.js'

const shells = ['/bin/dash', '/bin/bash', '/bin/busybox'].filter((path) => existsSync(path))

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

describe.each(shells)('with %s as sh', (shell) => {
  let folder: string
  let env: NodeJS.ProcessEnv
  const pids = new Set<number>()

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'awaitvm-shell-'))
    await symlink(shell, join(folder, 'sh'))
    env = { ...process.env, PATH: `${folder}:${process.env['PATH'] ?? ''}` }
  })
  afterEach(() => {
    for (const pid of pids) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
    pids.clear()
  })
  afterAll(() => rm(folder, { recursive: true }))

  /** A reported program, and what it has printed itself. */
  class Running {
    readonly #program: ReportedProgram
    readonly #child: ChildProcessWithoutNullStreams
    readonly stdout: ReportedOutput
    readonly stderr: ReportedOutput
    readonly closed: Promise<unknown>
    said = ''
    complained = ''
    #wake = (): void => undefined

    constructor(...argv: readonly string[]) {
      this.#program = reportedProgram(argv)
      const [name = '', ...words] = this.#program.argv
      this.#child = spawn(name, words, { env, stdio: 'pipe' })
      this.stdout = new ReportedOutput(this.#program)
      this.stderr = new ReportedOutput(this.#program)
      this.#child.stdout.on('data', (piece: Buffer) => {
        for (const { bytes, isOwn } of this.stdout.take(piece)) if (isOwn) this.said += String(bytes)
        this.#wake()
      })
      this.#child.stderr.on('data', (piece: Buffer) => {
        for (const { bytes, isOwn } of this.stderr.take(piece)) if (isOwn) this.complained += String(bytes)
        this.#wake()
      })
      this.closed = once(this.#child, 'close')
    }

    get stdin(): ChildProcessWithoutNullStreams['stdin'] {
      return this.#child.stdin
    }

    async until(isTrue: () => boolean): Promise<void> {
      const wait = async (): Promise<void> => {
        while (!isTrue()) await new Promise<void>((resolve) => (this.#wake = resolve))
      }
      await within(wait(), () => `more than ${JSON.stringify([this.said, this.complained])}`)
    }

    async untilEnd(): Promise<void> {
      await this.until(() => this.stdout.end !== undefined && this.stderr.end !== undefined)
      expect(this.stdout.end).toEqual(this.stderr.end)
      expect(this.stdout.begun).toEqual(this.stderr.begun)
    }

    /** The exit code of a script that is asked to stop the program. */
    async ask(script: string, ...words: readonly string[]): Promise<unknown> {
      const { pid, parent } = this.stderr.begun!
      const { mark, id } = this.#program
      const args = ['-c', script, 'sh', mark, id, String(pid), String(parent), ...words]
      const child = spawn('sh', args, { env, stdio: ['ignore', 'inherit', 'inherit'] })
      const [code] = (await once(child, 'exit')) as unknown[]
      return code
    }

    async end(): Promise<void> {
      this.stdin.end()
      await this.closed
    }
  }

  const script = (text: string, ...words: readonly string[]): Running => new Running('sh', '-c', text, 'sh', ...words)

  test.each([0, 1, 127, 130, 137, 143, 255])('the exit code %i is told as one', async (code) => {
    const running = script(`echo out; echo err >&2; exit "$1"`, String(code))
    await running.untilEnd()
    expect(running.stderr.end).toEqual({ code, signal: '' })
    expect(running).toMatchObject({ said: 'out\n', complained: 'err\n' })
    await running.end()
  })

  test.each(['KILL', 'TERM', 'HUP', 'SEGV', 'USR1', 'ABRT'])('the signal %s is told by its name', async (signal) => {
    const running = script('ulimit -c 0; printf out; printf err >&2; kill -s "$1" "$$"', signal)
    await running.untilEnd()
    expect(running.stderr.end?.signal).toBe(signal)
    expect(running).toMatchObject({ said: 'out', complained: 'err' })
    await running.end()
  })

  test('the arguments, the input and an output without a newline at its end are the own ones to the letter', async () => {
    const words = ["it's", '"quoted"', '$HOME $(id) `id`', 'a\nb', '', ' ', '\\', '-x', '; true', '虚拟机', '* ~ %s']
    const running = script('printf "[%s]" "$@"; cat', ...words)
    running.stdin.end('input')
    await running.untilEnd()
    expect(running.said).toBe(`${words.map((word) => `[${word}]`).join('')}input`)
    expect(running.complained).toBe('')
  })

  test('a program that is not there ends with 127, and its shell says so', async () => {
    const running = new Running('awaitvm-no-such-program')
    await running.untilEnd()
    expect(running.stderr.end).toEqual({ code: 127, signal: '' })
    expect(running.complained).toContain('awaitvm-no-such-program')
    await running.end()
  })

  test('a program that prints the command lines of all processes is not taken for its end', async () => {
    const running = new Running('cat', `/proc/${String(process.pid)}/environ`, '/proc/self/environ')
    await running.untilEnd()
    const other = script('tr "\\0" "\\n" <"/proc/$PPID/cmdline"; ps -A -o args=; exit 5')
    await other.untilEnd()
    expect(other.stdout.end).toEqual({ code: 5, signal: '' })
    expect(other.said).toContain('AWAITVM_PROGRAM')
  })

  test('the end is told while a child in the background holds the outputs', async () => {
    const running = script('sleep 600 & echo "$!"')
    await running.untilEnd()
    const child = Number(running.said)
    pids.add(child)
    expect(running.stderr.end).toEqual({ code: 0, signal: '' })
    expect(isAlive(child)).toBe(true)
  })

  test('a signal reaches the program, which may handle it', async () => {
    const running = script('trap "echo caught; exit 4" INT; echo ready; while :; do read -r line || sleep 0.01; done')
    await running.until(() => running.said === 'ready\n' && running.stderr.begun !== undefined)
    expect(await running.ask(signalScript, 'INT')).toBe(0)
    await running.untilEnd()
    expect(running.said).toBe('ready\ncaught\n')
    expect(running.stderr.end).toEqual({ code: 4, signal: '' })
    await running.end()
  })

  test('a program is stopped with its children, their children, and daemons', async () => {
    const tree = `echo "$$"; sh -c 'echo "$$"; sleep 600 & echo "$!"; wait' &
      setsid sh -c 'echo "$$"; sleep 600; true' & (setsid sh -c 'echo "$$"; sleep 600; true' &)
      env -i "PATH=$PATH" sh -c 'echo "$$"; sleep 600; true' & wait`
    const running = script(tree)
    await running.until(() => running.said.split('\n').length === 7)
    for (const pid of running.said.trim().split('\n')) pids.add(Number(pid))
    expect(pids.size).toBe(6)
    expect(await running.ask(stopScript)).toBe(0)
    await running.untilEnd()
    expect(running.stderr.end?.signal).toBe('KILL')
    // Without any process, nothing holds the outputs.
    await within(running.closed, () => 'the end of all processes')
    await running.end()
  })

  test('a program that has ended is not signalled, nor is what it has left behind', async () => {
    const running = script('sleep 600 & echo "$!"')
    await running.untilEnd()
    const child = Number(running.said)
    pids.add(child)
    expect(await running.ask(signalScript, 'KILL')).toBe(3)
    expect(await running.ask(stopScript)).toBe(3)
    expect(isAlive(child)).toBe(true)
  })
})

test('a mark is found across any border of pieces, and nothing is held back that can not be one', () => {
  const program = reportedProgram(['true'])
  const { mark } = program
  const stream = Buffer.from(`noise${mark} begun 12 11\nfirst aw${mark} ${mark} end x\nawaitvm-${mark} end 7 \nlate`)
  for (let size = 1; size <= stream.length; size += 1) {
    const output = new ReportedOutput(program)
    let [own, others] = ['', '']
    for (let at = 0; at < stream.length; at += size) {
      for (const { bytes, isOwn } of output.take(stream.subarray(at, at + size))) {
        if (isOwn) own += String(bytes)
        else others += String(bytes)
      }
    }
    expect(own).toBe(`first aw${mark} ${mark} end x\nawaitvm-`)
    expect(others + String(output.rest())).toBe('noiselate')
    expect(output).toMatchObject({ begun: { pid: 12, parent: 11 }, end: { code: 7, signal: '' } })
  }
  const output = new ReportedOutput(program)
  const live = (text: string): string => [...output.take(Buffer.from(text))].map(({ bytes }) => String(bytes)).join('')
  expect(live(`${mark} begun 1 2\n`)).toBe('')
  expect(live('password: ')).toBe('password: ')
  expect(live('awaitvm')).toBe('')
  expect(live(' x')).toBe('awaitvm x')
})

test('a mark without an end does not hold more than a report', () => {
  const program = reportedProgram(['true'])
  const output = new ReportedOutput(program)
  const flood = Buffer.from(`${program.mark} ${'x'.repeat(1000)}`)
  expect([...output.take(flood)].reduce((sum, { bytes }) => sum + bytes.length, 0)).toBe(flood.length)
})
