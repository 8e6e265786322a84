import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import type { ProgramControl } from '../../../src/driver/program-io.js'
import { AgentAbsentError, AgentSilentError } from '../../../src/guest-agent/agent-errors.js'
import { LocalGuest, shells } from '../../support/local-agent-guest.js'
import { missingFile, skipWithout } from '../../support/optional-tool.js'

async function* pieces(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text)
}

describe.each(shells)('with $shell', ({ shell, path, debian }) => {
  beforeEach((context) => {
    skipWithout(context, missingFile(path, debian))
  })

  test('a program has its exit code, its outputs apart, its folder, its variables and the umask of the agent', async () => {
    await using guest = new LocalGuest(shell)
    expect(await guest.run(['sh', '-c', 'echo out; echo err >&2; exit 3'])).toMatchObject({
      exitCode: 3,
      stdout: 'out\n',
      stderr: 'err\n',
    })
    const env = { A: `it's "x"\n$A`, 'a.b': '1', n: '5' }
    const { stdout } = await guest.run(['sh', '-c', 'echo "$A$n"; env | grep -c "^a.b=1$"; pwd; umask'], {
      cwd: '/tmp',
      env,
    })
    const [umask] = (await guest.run(['sh', '-c', 'umask'])).stdout.split('\n')
    expect(stdout).toMatch(new RegExp(`^it's "x"\n\\$A5\n[01]\n/tmp\n${String(umask)}\n$`))
    expect((await guest.run(['printf', '%s|', '', "a'b", 'c\nd', '$x', '*'])).stdout).toBe("|a'b|c\nd|$x|*|")
  })

  test('what is not there is told apart, and has not run', async () => {
    await using guest = new LocalGuest(shell)
    await expect(guest.run(['no-such-program'])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(guest.run(['/etc/passwd'])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(guest.run(['true'], { cwd: '/no/such' })).rejects.toMatchObject({ path: 'options.cwd' })
    expect(await guest.run(['sh', '-c', 'exit 127'])).toMatchObject({ exitCode: 127 })
  })

  test('a signal is told apart from an exit code', async () => {
    await using guest = new LocalGuest(shell)
    expect((await guest.run(['sh', '-c', 'kill -9 $$'])).signal).toBe('SIGKILL')
    expect((await guest.run(['sh', '-c', 'kill $$'])).signal).toBe('SIGTERM')
    expect((await guest.run(['sh', '-c', 'exit 137'])).exitCode).toBe(137)
    // Its own process group is that of no other program.
    const other = guest.run(['sh', '-c', 'sleep 0.3; echo alive'])
    expect((await guest.run(['sh', '-c', 'kill 0; sleep 600'])).signal).toBe('SIGTERM')
    expect((await other).stdout).toBe('alive\n')
  })

  test('a program that leaves a child ends when it ends itself, and its output is complete', async () => {
    await using guest = new LocalGuest(shell)
    const { stdout } = await guest.run(['sh', '-c', 'sleep 600 & echo $!'])
    process.kill(Number(stdout), 0)
    process.kill(Number(stdout), 'SIGKILL')
    const late = await guest.run(['sh', '-c', 'sleep 600 & sleep 0.3; echo $!'])
    process.kill(Number(late.stdout), 'SIGKILL')
  })

  test('output comes while the program runs, and input reaches it', async () => {
    await using guest = new LocalGuest(shell)
    let answer = (): void => undefined
    const asked = new Promise<void>((resolve) => (answer = resolve))
    async function* input(): AsyncGenerator<Uint8Array> {
      await asked
      yield Buffer.from('blue\n')
    }
    const end = await guest.run(['sh', '-c', 'echo colour?; read -r a; echo "$a it is"; cat'], {
      input: input(),
      output: (text) => {
        if (text === 'colour?\n') answer()
      },
    })
    expect(end).toMatchObject({ exitCode: 0, stdout: 'colour?\nblue it is\n' })
    expect((await guest.run(['cat'], { input: pieces('a', 'b') })).stdout).toBe('ab')
    expect((await guest.run(['cat'])).stdout).toBe('')
  })

  test('much passes both ways in order, and an input that is not read to its end does not block', async () => {
    await using guest = new LocalGuest(shell)
    const bytes = 3_000_000
    const { exitCode, bytes: got } = await guest.run(['head', '-c', String(bytes), '/dev/zero'])
    expect([exitCode, got]).toEqual([0, bytes])
    const lines = Array.from({ length: 40 }, (_, index) => `${String(index)}\n`.repeat(10_000))
    const whole = lines.join('')
    const { stdout } = await guest.run(['cksum'], { input: pieces(...lines) })
    const direct = await guest.run(['cksum'], { input: pieces(whole) })
    expect(stdout).toBe(direct.stdout)
    expect((await guest.run(['head', '-c', '2'], { input: pieces(...lines) })).stdout).toBe('0\n')
  })

  test('a sink that wants no more stops nothing but the program, which a cancel ends with all that it started', async () => {
    await using guest = new LocalGuest(shell)
    const stop = new AbortController()
    const never = new Promise<void>(() => undefined)
    const pids: number[] = []
    const script = '(sleep 601 & echo $! >&2); setsid sleep 602 & echo $! >&2; while :; do echo y; done'
    const endless = guest.run(['sh', '-c', script], {
      signal: stop.signal,
      output: (text) => {
        if (!text.includes('y')) pids.push(...text.trim().split('\n').map(Number))
        return text.includes('y') && pids.length >= 2 ? never : undefined
      },
    })
    expect((await guest.run(['echo', 'hi'])).stdout).toBe('hi\n')
    const waiting = setInterval(() => {
      if (pids.length >= 2) stop.abort(new Error('asked'))
    }, 20)
    await expect(endless).rejects.toThrow('asked')
    clearInterval(waiting)
    for (const pid of pids) await guest.agent.untilGone(pid)
  })

  test('a signal reaches the program, and says if it has ended', async () => {
    await using guest = new LocalGuest(shell)
    let control: ProgramControl | undefined
    const end = guest.run(['sh', '-c', 'trap "echo got; exit 4" USR1; echo ready; while :; do sleep 0.05; done'], {
      begun: (begun) => (control = begun),
      output: (text) => {
        if (text === 'ready\n') void control?.kill('SIGUSR1')
      },
    })
    expect(await end).toMatchObject({ exitCode: 4, stdout: 'ready\ngot\n' })
  })

  test('hundreds of programs in sequence and 64 at once leave nothing', { timeout: 300_000 }, async () => {
    await using guest = new LocalGuest(shell)
    for (let index = 0; index < 300; index += 1) expect((await guest.run(['true'])).exitCode).toBe(0)
    const many = Array.from({ length: 64 }, (_, index) => guest.run(['echo', String(index)]))
    expect((await Promise.all(many)).map(({ stdout }) => Number(stdout))).toEqual(many.map((_, index) => index))
    for (let index = 0; index < 20; index += 1) await guest.run(['true'])
    const [folder = ''] = guest.agent.folders
    expect(readdirSync(folder).length).toBeLessThan(256)
  })
})

test('programs run once, and are told of, if the connection breaks before and after the agent takes what it is sent', async () => {
  await using guest = new LocalGuest('sh')
  const file = join(tmpdir(), `awaitvm-runs-${randomBytes(6).toString('hex')}`)
  await guest.run(['true'])
  let writes = 0
  guest.agent.breaks = (command) => {
    if (command !== 'guest-file-write') return undefined
    writes += 1
    return ([undefined, 'after', 'before'] as const)[writes % 3]
  }
  const long = 'x'.repeat(20_000)
  const run = async (index: number): Promise<void> => {
    const script = 'echo "$1" >>"$0"; echo "did $1"; exit 3'
    const { exitCode, stdout } = await guest.run(['sh', '-c', script, file, String(index), long])
    expect([exitCode, stdout]).toEqual([3, `did ${String(index)}\n`])
  }
  await Promise.all(Array.from({ length: 20 }, (_, index) => run(index)))
  expect(writes).toBeGreaterThan(40)
  guest.agent.breaks = () => undefined
  const runs = (await readFile(file, 'utf8')).trimEnd().split('\n').map(Number)
  expect(runs.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, index) => index))
  await rm(file)
})

test('a program that takes its time to begin is not taken for a lost one', { timeout: 60_000 }, async () => {
  await using guest = new LocalGuest('sh')
  const { agent } = guest
  // Longer than the shell may be silent until its processes are looked at.
  const silent = guest.run(['sleep', '6'])
  const execute = agent.execute.bind(agent)
  agent.execute = async (command, args) => {
    if (command === 'guest-file-open' && String(args?.['path']).endsWith('.i')) await silent
    return execute(command, args)
  }
  expect((await guest.run(['cat'], { input: pieces('late') })).stdout).toBe('late')
})

test('processes that wait for programs end with the shell', async () => {
  let left: (() => Promise<void>) | undefined
  {
    await using guest = new LocalGuest('sh')
    const { agent } = guest
    const many = await Promise.all(Array.from({ length: 20 }, () => guest.run(['sh', '-c', 'echo $PPID'])))
    left = async () => {
      for (const { stdout } of many) await agent.untilGone(Number(stdout))
    }
  }
  await left()
})

test('a program has an unknown outcome if what was to tell of it is killed before, and others run', async () => {
  await using guest = new LocalGuest('sh')
  const { stdout } = await guest.run(['sh', '-c', 'echo $PPID'])
  const before = Number(stdout)
  process.kill(before, 'SIGKILL')
  await guest.agent.untilGone(before)
  await expect(guest.run(['true'])).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
  expect((await guest.run(['echo', 'next'])).stdout).toBe('next\n')
})

test('a shell is started, and a program has its input, though answers to that get lost', async () => {
  await using guest = new LocalGuest('sh')
  const lost = ['guest-exec', 'guest-exec-status', 'guest-file-open']
  const loseEach = (): void => {
    const left = new Set(lost)
    guest.agent.breaks = (command) => (left.delete(command) ? 'lost' : undefined)
  }
  loseEach()
  expect((await guest.run(['echo', 'first'])).stdout).toBe('first\n')
  loseEach()
  expect((await guest.run(['cat'], { input: pieces('second') })).stdout).toBe('second')
  expect(guest.agent.folders).toHaveLength(4)
})

test('a call that finds the agent silent is refused, and the programs under way go on', async () => {
  await using guest = new LocalGuest('sh')
  let begun = (): void => undefined
  const begins = new Promise<void>((resolve) => (begun = resolve))
  const folder = await mkdtemp(join(tmpdir(), 'awaitvm-silent-'))
  const program = guest.run(['sh', '-c', 'until [ -e "$0/go" ]; do sleep 0.05; done; echo done', folder], { begun })
  await begins
  guest.agent.failure = new AgentSilentError(10_000)
  await expect(guest.run(['true'])).rejects.toMatchObject({ code: 'GUEST_UNAVAILABLE', retryable: true })
  await writeFile(join(folder, 'go'), '')
  guest.agent.failure = undefined
  expect(await program).toMatchObject({ exitCode: 0, stdout: 'done\n' })
  await rm(folder, { recursive: true })
})

test('what is lost with the agent is unknown', async () => {
  await using guest = new LocalGuest('sh')
  const program = guest.run(['sleep', '5'], {
    begun: () => (guest.agent.failure = new AgentAbsentError()),
  })
  await expect(program).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN', reason: expect.stringContaining('has ended') })
  guest.agent.failure = undefined
  await guest.agent.removeAll()
})
