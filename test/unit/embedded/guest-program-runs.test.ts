import { createHash, randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { InvalidArgumentError } from '../../../src/errors.js'
import { eventually, isAlive, NativeGuestProgram } from '../../support/native-guest-program.js'
import { skipWithout } from '../../support/optional-tool.js'

beforeEach((context) => {
  skipWithout(context, NativeGuestProgram.missing())
})

async function* pieces(bytes: Uint8Array, size = 10_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield Promise.resolve(bytes.subarray(at, at + size))
}

const hash = (bytes: string | Uint8Array): string =>
  createHash('sha256')
    .update(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
    .digest('hex')

describe('a program', () => {
  test('has outputs of its own, and an exit code or a signal', async () => {
    await using guest = NativeGuestProgram.start()
    const program = guest.sh('echo out; echo err >&2; exit 7')
    expect(await program.end).toEqual({ exitCode: 7 })
    expect([program.stdout, program.stderr]).toEqual(['out\n', 'err\n'])
    expect(await guest.sh('kill -TERM $$').end).toEqual({ signal: 'SIGTERM' })
    expect(await guest.sh('kill -40 $$').end).toEqual({ exitCode: 168 })
  })

  test('is found in PATH, and has the arguments, variables and folder that it is given', async () => {
    await using guest = NativeGuestProgram.start()
    const program = guest.run({
      argv: ['sh', '-c', 'printf "%s|" "$@"; echo "$A|$HOME"; pwd', 'x', 'a b', '', '"\'ü\n'],
      env: { A: '1\n2', HOME: '/nowhere' },
      cwd: '/usr/bin',
    })
    expect(await program.end).toEqual({ exitCode: 0 })
    expect(Buffer.from(program.stdout, 'latin1').toString()).toBe('a b||"\'ü\n|1\n2|/nowhere\n/usr/bin\n')
  })

  test.each([
    [{ argv: ['no-such-program'] }, 'command[0]'],
    [{ argv: ['/etc/passwd'] }, 'command[0]'],
    [{ argv: ['true'], cwd: '/no/such/folder' }, 'options.cwd'],
    [{ argv: ['true'], user: 'nobody-of-that-name' }, 'options.user'],
  ])('that can not be started is refused by what is wrong: %j', async (program, path) => {
    await using guest = NativeGuestProgram.start()
    const error = await guest.run(program).end.catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(InvalidArgumentError)
    expect(error).toMatchObject({ path })
  })

  test('of another user has its ids, groups and home', async (context) => {
    if (process.getuid?.() !== 0) context.skip('only root can become another user')
    await using guest = NativeGuestProgram.start()
    const program = guest.run({ argv: ['sh', '-c', 'id -u; id -g; id -G; echo $HOME $USER'], user: 'daemon' })
    expect(await program.end).toEqual({ exitCode: 0 })
    expect(program.stdout).toBe('1\n1\n1\n/usr/sbin daemon\n')
  })

  test('reads its input to the end, and standard input without any is at its end', async () => {
    await using guest = NativeGuestProgram.start()
    const bytes = randomBytes(300_000)
    const program = guest.sh('cat', { input: pieces(bytes) })
    expect(await program.end).toEqual({ exitCode: 0 })
    expect(hash(program.stdout)).toBe(hash(bytes))
    expect(await guest.run({ argv: ['cat'] }).end).toEqual({ exitCode: 0 })
  })

  test('that stops to read its input ends all the same, and so does the input', async () => {
    await using guest = NativeGuestProgram.start()
    let isOver = false
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield await Promise.resolve(Buffer.alloc(1000))
      } finally {
        isOver = true
      }
    }
    expect(await guest.sh('head -c 100000 | wc -c', { input: endless() }).end).toEqual({ exitCode: 0 })
    await eventually(() => isOver)
  })

  test('whose input fails is ended, and the failure is told', async () => {
    await using guest = NativeGuestProgram.start()
    // eslint-disable-next-line require-yield
    async function* failing(): AsyncGenerator<Uint8Array> {
      await Promise.resolve()
      throw new RangeError('no more')
    }
    await expect(guest.sh('cat', { input: failing() }).end).rejects.toThrow('no more')
  })

  test('ends when it ends itself, though a child of it holds its output, and nothing of its own output is missing', async () => {
    await using guest = NativeGuestProgram.start()
    const program = guest.sh('sleep 1000 & head -c 200000 /dev/zero; echo $!')
    expect(await program.end).toEqual({ exitCode: 0 })
    expect(program.bytes).toBeGreaterThan(200_000)
    const child = Number(program.stdout.slice(200_000))
    expect(isAlive(child)).toBe(true)
    process.kill(child, 'SIGKILL')
    await eventually(() => guest.children().length === 0)
  })

  test('that was left behind may go on to write', async () => {
    await using guest = NativeGuestProgram.start()
    const program = guest.sh('(head -c 1000000 /dev/zero; sleep 1000) & echo $!')
    expect(await program.end).toEqual({ exitCode: 0 })
    const child = Number(/\d+/.exec(program.stdout)?.[0])
    await eventually(() => guest.children().length === 1)
    expect(isAlive(child)).toBe(true)
    process.kill(child, 'SIGKILL')
  })
})

describe('output', () => {
  test('waits for its reader, and that of others does not', async () => {
    await using guest = NativeGuestProgram.start()
    let read = (): void => undefined
    const held = new Promise<void>((resolve) => (read = resolve))
    const slow = guest.sh('head -c 3000000 /dev/zero; echo end', { onOutput: () => held })
    await slow.control
    const quick = guest.sh('head -c 1000000 /dev/zero')
    expect(await quick.end).toEqual({ exitCode: 0 })
    expect(quick.bytes).toBe(1_000_000)
    expect(slow.bytes).toBeLessThan(70_000)
    read()
    expect(await slow.end).toEqual({ exitCode: 0 })
    expect(slow.bytes).toBe(3_000_004)
  })

  test('that can not be taken ends the program', async () => {
    await using guest = NativeGuestProgram.start()
    const program = guest.sh('echo; sleep 1000', { onOutput: () => Promise.reject(new RangeError('full')) })
    await expect(program.end).rejects.toThrow('full')
    await eventually(() => guest.children().length === 0)
  })
})

describe('a program can be', () => {
  test('ended while nobody takes its output', async () => {
    await using guest = NativeGuestProgram.start()
    const program = guest.sh('cat /dev/zero', { onOutput: () => new Promise(() => undefined) })
    await program.untilOutput('\0')
    program.stop.abort(new RangeError('enough'))
    await expect(program.end).rejects.toThrow('enough')
    await eventually(() => guest.children().length === 0)
  })

  test('sent signals, with a verdict', async () => {
    await using guest = NativeGuestProgram.start()
    const program = guest.sh('trap "echo got it" USR1; echo on; while :; do sleep 0.01; done')
    const control = await program.control
    await program.untilOutput('on')
    expect(await control.kill('SIGUSR1')).toBe(true)
    await program.untilOutput('got it')
    expect(await control.kill('SIGKILL')).toBe(true)
    expect(await program.end).toEqual({ signal: 'SIGKILL' })
    expect(await control.kill('SIGTERM')).toBe(false)
  })

  test('ended with all that it started, also what has left its session', async () => {
    await using guest = NativeGuestProgram.start()
    const program = guest.sh('setsid sh -c "(sleep 1000 & echo $!; sleep 1001 & echo pid \\$!) &"; sleep 1002')
    await program.untilOutput('pid ')
    await program.untilOutput('\n')
    const child = Number(/pid (\d+)/.exec(program.stdout)?.[1])
    expect(isAlive(child)).toBe(true)
    program.stop.abort(new RangeError('enough'))
    await expect(program.end).rejects.toThrow('enough')
    expect(isAlive(child)).toBe(false)
    await eventually(() => guest.children().length === 0)
  })

  test('ended before it began', async () => {
    await using guest = NativeGuestProgram.start()
    await guest.sh('true').end
    const program = guest.sh('sleep 1000')
    program.stop.abort(new RangeError('enough'))
    await expect(program.end).rejects.toThrow('enough')
    await eventually(() => guest.children().length === 0)
  })
})

describe('a terminal', () => {
  test('has the size that it is given, and another one later', async () => {
    await using guest = NativeGuestProgram.start()
    const program = guest.run({
      argv: ['sh', '-c', 'trap "stty size; exit" WINCH; stty size; while :; do sleep 0.01; done'],
      pty: { columns: 90, rows: 20 },
    })
    const control = await program.control
    await program.untilOutput('20 90')
    await control.resize?.({ columns: 100, rows: 30 })
    expect(await program.end).toEqual({ exitCode: 0 })
    expect(program.stdout).toBe('20 90\r\n30 100\r\n')
    expect(program.stderr).toBe('')
  })

  test('tells the end of the input', async () => {
    await using guest = NativeGuestProgram.start()
    const pty = { columns: 80, rows: 24 }
    const program = guest.run({ argv: ['cat'], pty }, { input: pieces(Buffer.from('line\nrest')) })
    expect(await program.end).toEqual({ exitCode: 0 })
    expect(program.stdout.replaceAll('\r', '')).toContain('line\n')
    expect(await guest.run({ argv: ['cat'], pty }).end).toEqual({ exitCode: 0 })
  })
})

test('hundreds of programs in turn and 64 at once leave nothing behind', { timeout: 60_000 }, async () => {
  await using guest = NativeGuestProgram.start()
  await guest.port.open(new AbortController().signal)
  const before = guest.openFiles()
  for (let count = 0; count < 300; count++) expect(await guest.run({ argv: ['true'] }).end).toEqual({ exitCode: 0 })
  const ends = await Promise.all(Array.from({ length: 64 }, () => guest.sh('echo hello; exit 3').end))
  expect(new Set(ends.map(({ exitCode }) => exitCode))).toEqual(new Set([3]))
  await eventually(() => guest.children().length === 0)
  await eventually(() => guest.openFiles().join() === before.join())
})
