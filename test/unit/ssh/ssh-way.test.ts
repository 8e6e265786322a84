import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { ProgramControl, ProgramEnd } from '../../../src/driver/program-io.js'
import type { GuestProgram } from '../../../src/guest/guest-way.js'
import { SshGuests, type SshGuest } from '../../../src/ssh/ssh-guests.js'
import { FakeSshServer } from '../../support/fake-ssh-server.js'
import { missingRoot, missingSsh, skipWithout } from '../../support/optional-tool.js'
import { SshServer } from '../../support/ssh-server.js'

let server: SshServer
let access: SshGuest['access'] & { readonly hostKey: string }

beforeAll(async () => {
  if (missingSsh !== undefined) return
  server = await SshServer.start()
  const { user, privateKeyFile, hostKey } = await server.login()
  access = { way: 'ssh', user, privateKeyFile, hostKey }
})

afterAll(async () => {
  if (missingSsh === undefined) await server[Symbol.asyncDispose]()
})

const guestOf = (changes: Partial<SshGuest> = {}): SshGuest => ({
  vm: 'web-1',
  driver: 'test',
  access,
  address: { host: '127.0.0.1', port: server.port },
  life: '1',
  look: () => Promise.resolve('running'),
  pin: (hostKey) => Promise.resolve(hostKey),
  ...changes,
})

const guestsOfTest = (): SshGuests => {
  const guests = new SshGuests()
  onTestFinished(() => guests.close(Promise.resolve()))
  return guests
}

interface Run {
  readonly end: Promise<ProgramEnd>
  /** What it has printed so far. */
  readonly out: { stdout: string; stderr: string }
  readonly begun: Promise<ProgramControl>
  readonly stop: AbortController
  /** Resolves once its standard output has the text. */
  printed(text: string): Promise<void>
}

interface Io {
  readonly input?: AsyncIterable<Uint8Array>
  readonly output?: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => Promise<void> | void
  readonly guest?: SshGuest
  readonly guests?: SshGuests
}

function start(program: GuestProgram, { input, output, guest = guestOf(), guests = guestsOfTest() }: Io = {}): Run {
  const out = { stdout: '', stderr: '' }
  const stop = new AbortController()
  const events = new EventEmitter()
  const begun = once(events, 'begun').then(([control]) => control as ProgramControl)
  const io = {
    input,
    output: (stream: 'stdout' | 'stderr', bytes: Uint8Array): Promise<void> | void => {
      out[stream] += Buffer.from(bytes).toString()
      events.emit('output')
      return output?.(stream, bytes)
    },
    begun: (control: ProgramControl) => void events.emit('begun', control),
  }
  const end = guests.wayInto(guest).run(program, io, stop.signal)
  end.catch(() => undefined)
  const printed = async (text: string): Promise<void> => {
    while (!out.stdout.includes(text)) await Promise.race([once(events, 'output'), end])
  }
  return { end, out, begun, stop, printed }
}

const script = (text: string): GuestProgram => ({ argv: ['sh', '-c', text], endsWithClient: true })
const ended = async (program: GuestProgram, io?: Io): Promise<ProgramEnd & Run['out']> => {
  const run = start(program, io)
  return { ...(await run.end), ...run.out }
}
/** Input that has a line once it is opened. */
function gate(): { readonly input: AsyncIterable<Uint8Array>; readonly open: () => void } {
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => (open = resolve))
  const input = (async function* () {
    await opened
    yield Buffer.from('open\n')
  })()
  return { input, open }
}

/** A process that has ended may stay as a zombie. */
const isAlive = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

describe('a program in a guest by SSH', () => {
  test.beforeEach((context) => {
    skipWithout(context, missingSsh)
  })

  test('has its words to the letter, its variables and its folder', async () => {
    const words = ["it's", '$HOME `id` "x"', 'two\nlines', '\\', '']
    const program = { argv: ['sh', '-c', 'printf "<%s>" "$@"; pwd; echo "$A"', 'sh', ...words] }
    const { stdout } = await ended({ ...program, cwd: '/usr', env: { A: "b 'c'" } })
    expect(stdout).toBe(`${words.map((word) => `<${word}>`).join('')}/usr\nb 'c'\n`)
  })

  test.each([
    ['echo out; echo err >&2; exit 7', { exitCode: 7, stdout: 'out\n', stderr: 'err\n' }],
    ['exit 143', { exitCode: 143, stdout: '', stderr: '' }],
    ['kill -TERM $$', { signal: 'SIGTERM', stdout: '', stderr: '' }],
  ])('%s is told as it ends', async (text, expected) => {
    expect(await ended(script(text))).toEqual(expected)
  })

  test('that is not there, or whose folder is not, is a wrong argument', async () => {
    await expect(ended({ argv: ['nonesuch'] })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(ended({ argv: ['true'], cwd: '/nonesuch' })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  test('runs as another user', async (context) => {
    skipWithout(context, missingRoot)
    expect(await ended({ argv: ['id', '-un'], user: 'nobody' })).toMatchObject({ stdout: 'nobody\n' })
  })

  test('with more words than a command line takes is refused before anything is sent', async () => {
    await expect(ended({ argv: ['echo', 'x'.repeat(131_072)] })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      path: 'command',
    })
  })

  test('shows its output while it runs, and reads what is written then', async () => {
    const answer = gate()
    const run = start(script('echo ready; read -r word; echo "got $word"'), { input: answer.input })
    await run.printed('ready\n')
    answer.open()
    expect(await run.end).toEqual({ exitCode: 0 })
    expect(run.out.stdout).toBe('ready\ngot open\n')
  })

  test('ends when it ends itself, with its whole output, and leaves its child behind', async () => {
    const run = start(script('sleep 1000 & echo "$!"; head -c 100000 /dev/zero | tr "\\0" x'))
    expect(await run.end).toEqual({ exitCode: 0 })
    const [pid = '', rest] = run.out.stdout.split('\n')
    expect(rest).toBe('x'.repeat(100_000))
    // Throws if there is no such process.
    process.kill(Number(pid), 'SIGKILL')
  })

  test('ends when it ends itself, although its child goes on printing', async () => {
    const run = start(script('(while echo more; do :; done) & echo started'))
    expect(await run.end).toEqual({ exitCode: 0 })
    expect(run.out.stdout).toContain('started\n')
  })

  test('waits for those that take its output, and takes little memory', async () => {
    let isTaken: () => void = () => undefined
    let taken = 0
    const run = start(
      { argv: ['sh', '-c', 'head -c 16777216 /dev/zero; echo done >&2'] },
      {
        output: (stream, bytes) => {
          if (stream === 'stderr') return undefined
          taken += bytes.length
          return taken > bytes.length ? undefined : new Promise((resolve) => (isTaken = resolve))
        },
      },
    )
    await run.printed('\0')
    const control = await run.begun
    // A second program runs to its end: the first one stands still.
    expect(await control.kill('SIGCONT')).toBe(true)
    expect(run.out.stderr).toBe('')
    isTaken()
    expect(await run.end).toEqual({ exitCode: 0 })
    expect(taken).toBe(16_777_216)
  })

  test('has a terminal of the size that is asked for, and of another one later', async () => {
    const run = start({
      ...script('trap "stty size; exit 0" WINCH; tty; stty size; echo ready; while :; do sleep 0.1; done'),
      pty: { columns: 100, rows: 30 },
    })
    await run.printed('ready')
    await (await run.begun).resize?.({ columns: 120, rows: 40 })
    expect(await run.end).toEqual({ exitCode: 0 })
    expect(run.out.stdout).toMatch(/^\/dev\/\S+\r\n30 100\r\nready\r\n40 120\r\n$/)
  })

  test('with a terminal and without input is at the end of its input', async () => {
    expect(await ended({ argv: ['cat'], pty: { columns: 80, rows: 24 } })).toMatchObject({ exitCode: 0 })
  })

  test('reads a long input to its end', async () => {
    const piece = Buffer.alloc(2 ** 20, 7)
    const input = (async function* () {
      for (let index = 0; index < 16; index += 1) yield await Promise.resolve(piece)
    })()
    expect(await ended({ argv: ['wc', '-c'] }, { input })).toMatchObject({ exitCode: 0, stdout: '16777216\n' })
  })

  test('that reads only the beginning of its input ends, and the input is given up', async () => {
    let isGivenUp = false
    const input = (async function* () {
      try {
        for (;;) yield await Promise.resolve(Buffer.alloc(65_536))
      } finally {
        isGivenUp = true
      }
    })()
    expect(await ended({ argv: ['head', '-c', '1'] }, { input })).toMatchObject({ exitCode: 0 })
    await expect.poll(() => isGivenUp).toBe(true)
  })

  test('is killed if its input fails, and the failure is its own', async () => {
    let fail: (error: Error) => void = () => undefined
    const failed = new Promise<never>((_, reject) => (fail = reject))
    const input = (async function* () {
      yield await failed
    })()
    const run = start(script('echo $$; cat >/dev/null; sleep 1000'), { input })
    await run.printed('\n')
    fail(new Error('the disk is gone'))
    await expect(run.end).rejects.toThrow('the disk is gone')
    await expect.poll(() => isAlive(Number(run.out.stdout))).toBe(false)
  })

  test('gets signals, and a program that has ended gets none', async () => {
    const run = start(script('trap "echo usr1" USR1; trap "exit 3" TERM; echo ready; while :; do sleep 0.05; done'))
    await run.printed('ready')
    const control = await run.begun
    expect(await control.kill('SIGUSR1')).toBe(true)
    await run.printed('usr1')
    expect(await control.kill('SIGTERM')).toBe(true)
    expect(await run.end).toEqual({ exitCode: 3 })
    expect(await control.kill('SIGTERM')).toBe(false)
  })

  test('is stopped with all that it has started, also if nobody takes its output', async () => {
    const text = 'sleep 1001 & echo $!; setsid sleep 1002 & echo $!; (setsid sleep 1003 & echo $!); echo end; yes'
    const run: Run = start(script(text), {
      output: () => (run.out.stdout.includes('y\n') ? new Promise(() => undefined) : undefined),
    })
    await run.printed('end')
    const reason = new Error('it was cancelled')
    run.stop.abort(reason)
    await expect(run.end).rejects.toBe(reason)
    for (const pid of run.out.stdout.split('\n').slice(0, 3)) {
      await expect.poll(() => isAlive(Number(pid)), { message: `process ${pid}` }).toBe(false)
    }
  })

  test('that has ended when it is stopped tells its end', async () => {
    const run = start(script('exit 5'))
    await run.begun
    const end = await run.end
    run.stop.abort(new Error('it was cancelled'))
    expect(end).toEqual({ exitCode: 5 })
  })

  test('whose connection is cut has an unknown outcome, and the next one runs by another connection', async () => {
    const guests = guestsOfTest()
    // The parent of a program is the part of the server that has its connection.
    const cut = gate()
    const run = start(script('echo begun; read -r word; kill -KILL $PPID; sleep 0.1'), { guests, input: cut.input })
    await run.printed('begun')
    cut.open()
    await expect(run.end).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    expect(run.out.stdout).toBe('begun\n')
    expect(await ended({ argv: ['echo', 'next'] }, { guests })).toMatchObject({ exitCode: 0, stdout: 'next\n' })
  })

  test('that changes nothing, and whose connection is cut, may be run again', async () => {
    await expect(ended({ ...script('kill -KILL $PPID; sleep 0.1'), isHarmless: true })).rejects.toMatchObject({
      code: 'GUEST_UNAVAILABLE',
      retryable: true,
    })
  })

  test('that has ended keeps its child, also at the end of the connection', async () => {
    const guests = guestsOfTest()
    await ended(script('exit 0'), { guests })
    const { stdout } = await ended(script('sleep 1007 & echo $!'), { guests })
    // The guard ends this one, which was begun later, and so has looked for the other.
    const run = start(script('echo $$; exec sleep 1008'), { guests })
    await run.printed('\n')
    guests.forget('web-1')
    await expect.poll(() => isAlive(Number(run.out.stdout))).toBe(false)
    // Throws if there is no such process.
    process.kill(Number(stdout), 'SIGKILL')
  })

  test('whose VM has left its host has an unknown outcome', async () => {
    const guests = guestsOfTest()
    const run = start(script('sleep 1005 & echo $! $$; exec sleep 1006'), { guests })
    await run.printed('\n')
    guests.forget('web-1')
    for (const pid of run.out.stdout.split(' ')) {
      await expect.poll(() => isAlive(Number(pid)), { message: `process ${pid}` }).toBe(false)
    }
    await expect(run.end).rejects.toMatchObject({
      code: 'OUTCOME_UNKNOWN',
      reason: 'its VM is not on the host any more',
    })
  })

  test('is one of many at once, on several connections', async () => {
    const guests = guestsOfTest()
    const runs = Array.from({ length: 25 }, (_, index) => ended({ argv: ['echo', String(index)] }, { guests }))
    const outputs = (await Promise.all(runs)).map(({ stdout }) => stdout)
    expect(outputs).toEqual(runs.map((_, index) => `${index}\n`))
  })

  test('takes the room of one that has ended once the server has it', async () => {
    await using fake = await FakeSshServer.start({ maxSessions: 2 })
    const guest = guestOf({
      access: { ...access, hostKey: fake.hostKey },
      address: { host: '127.0.0.1', port: fake.port },
    })
    const guests = guestsOfTest()
    const runs = Array.from({ length: 30 }, (_, index) => ended({ argv: ['echo', String(index)] }, { guest, guests }))
    const outputs = (await Promise.all(runs)).map(({ stdout }) => stdout)
    expect(outputs).toEqual(runs.map((_, index) => `${index}\n`))
  })

  test('is stopped by a close', async () => {
    const guests = guestsOfTest()
    const run = start(script('echo $$; sleep 1004'), { guests })
    await run.printed('\n')
    await guests.close(run.end)
    await expect(run.end).rejects.toThrow('the server was closed')
    await expect.poll(() => isAlive(Number(run.out.stdout))).toBe(false)
  })
})

describe('the ssh server of a guest', () => {
  test.beforeEach((context) => {
    skipWithout(context, missingSsh)
  })

  const failure = (guest: SshGuest): Promise<unknown> =>
    ended({ argv: ['true'] }, { guest }).then(
      () => undefined,
      (error: unknown) => error,
    )

  test('whose key is not the pinned one is refused, and nothing is run', async () => {
    const hostKey = `ssh-ed25519 ${Buffer.concat([Buffer.from(access.hostKey.split(' ')[1]!, 'base64').subarray(0, -32), Buffer.alloc(32, 7)]).toString('base64')}`
    const error = await failure(guestOf({ access: { ...access, hostKey } }))
    expect(error).toMatchObject({ code: 'AUTHENTICATION_FAILED' })
    expect(String(error)).toMatch(/has the host key SHA256:\S{43}, and the host key SHA256:\S{43} is pinned/)
  })

  test('without a key of the pinned type is refused', async () => {
    const error = await failure(guestOf({ access: { ...access, hostKey: 'ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==' } }))
    expect(error).toMatchObject({ code: 'AUTHENTICATION_FAILED' })
  })

  test('has its key pinned at the first connection, for all programs from then on', async () => {
    const { hostKey, ...unpinned } = access
    const pinned: string[] = []
    const guest = guestOf({
      access: unpinned,
      pin: (key) => {
        pinned.push(key)
        return Promise.resolve(key)
      },
    })
    const guests = guestsOfTest()
    await ended({ argv: ['true'] }, { guest, guests })
    // As the host tells it from now on.
    await ended({ argv: ['true'] }, { guest: { ...guest, access }, guests })
    expect(pinned).toEqual([hostKey])
  })

  test('is refused if another process has pinned another key first', async () => {
    const { hostKey: _hostKey, ...unpinned } = access
    const error = await failure(guestOf({ access: unpinned, pin: () => Promise.resolve('ssh-ed25519 AAAA') }))
    expect(error).toMatchObject({ code: 'AUTHENTICATION_FAILED' })
  })

  test('that does not know the key or the user refuses them, and no error has the key', async () => {
    const error = await failure(guestOf({ access: { ...access, user: 'nonesuch' } }))
    expect(error).toMatchObject({ code: 'AUTHENTICATION_FAILED', retryable: false })
    expect(String(error)).toContain('does not let the user nonesuch in')
  })

  test('is not asked with a key that is missing or no key', async () => {
    for (const privateKeyFile of ['/nonesuch/key', `${server.folder}/server`]) {
      const error = await failure(guestOf({ access: { ...access, privateKeyFile } }))
      expect(error).toMatchObject({ code: 'AUTHENTICATION_FAILED' })
      expect(String(error)).toContain(privateKeyFile)
      expect(String(error)).not.toContain('PermitRootLogin')
    }
  })

  test.each([0, 1])('that takes %i sessions is told with what to change', async (maxSessions) => {
    await using fake = await FakeSshServer.start({ maxSessions })
    const address = { host: '127.0.0.1', port: fake.port }
    const error = await failure(guestOf({ access: { ...access, hostKey: fake.hostKey }, address }))
    expect(error).toMatchObject({ code: 'HOST_ERROR', hint: expect.stringContaining('MaxSessions') as string })
  })

  test('that is not there is unavailable, and may be there later', async () => {
    const closed = createServer().listen(0, '127.0.0.1')
    await once(closed, 'listening')
    const { port } = closed.address() as AddressInfo
    closed.close()
    await once(closed, 'close')
    const error = await failure(guestOf({ address: { host: '127.0.0.1', port } }))
    expect(error).toMatchObject({ code: 'GUEST_UNAVAILABLE', retryable: true })
  })

  test('that closes the connection at once is unavailable', async () => {
    const rude = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
    await once(rude, 'listening')
    onTestFinished(() => void rude.close())
    const { port } = rude.address() as AddressInfo
    const error = await failure(guestOf({ address: { host: '127.0.0.1', port } }))
    expect(error).toMatchObject({ code: 'GUEST_UNAVAILABLE', retryable: true })
  })

  test('that closes the connection after its greeting is unavailable, and its connection is closed', async () => {
    const rude = createServer((socket) => socket.resume().end('SSH-2.0-Rude\r\n')).listen(0, '127.0.0.1')
    const accepted = once(rude, 'connection')
    await once(rude, 'listening')
    onTestFinished(() => void rude.close())
    const { port } = rude.address() as AddressInfo
    const error = await failure(guestOf({ address: { host: '127.0.0.1', port } }))
    expect(error).toMatchObject({ code: 'GUEST_UNAVAILABLE', retryable: true })
    const [socket] = (await accepted) as [Socket]
    if (!socket.closed) await once(socket, 'close')
  })

  test('that is none, and talks without end, is not listened to', async () => {
    const talker = createServer((socket) => {
      socket.on('error', () => undefined)
      const talk = (): void => {
        while (!socket.destroyed && socket.write('x'.repeat(65_536)));
      }
      socket.on('drain', talk)
      talk()
    }).listen(0, '127.0.0.1')
    await once(talker, 'listening')
    onTestFinished(() => void talker.close())
    const { port } = talker.address() as AddressInfo
    expect(await failure(guestOf({ address: { host: '127.0.0.1', port } }))).toMatchObject({ code: 'PROTOCOL_ERROR' })
  })
})
