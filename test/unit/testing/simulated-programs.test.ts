import { buffer } from 'node:stream/consumers'
import { ExecJob, type SignalName, type Vm } from 'awaitvm'
import { createSimulatedServer, type SimulatedServer } from 'awaitvm/testing'
import { describe, expect, test } from 'vitest'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'

async function runningVm(): Promise<{ simulated: SimulatedServer; vm: Vm }> {
  const simulated = createSimulatedServer({ vms: [{ name: 'web-1', state: 'running' }] })
  return { simulated, vm: await simulated.server.getVm('web-1').unwrap() }
}

const decode = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

describe('a program that is a generator', () => {
  test('prints as time passes by the clock of the test', async () => {
    const { simulated, vm } = await runningVm()
    simulated.onExec(async function* ({ sleep }) {
      yield 'compiling\n'
      await sleep(1000)
      yield { stderr: 'a warning\n' }
      await sleep(1000)
      return { exitCode: 2, stdout: 'done\n' }
    })
    const seen: string[] = []
    const job = vm.guest.exec(['make'], { onOutput: ({ stream, data }) => void seen.push(`${stream}: ${data}`) })
    await simulated.clock.advance(0)
    expect(seen).toEqual(['stdout: compiling\n'])
    await simulated.clock.advance(1000)
    expect(seen.at(-1)).toBe('stderr: a warning\n')
    expect(job.status).toBe('running')
    await simulated.clock.advance(1000)
    expect(await job.unwrap()).toEqual({
      exitCode: 2,
      stdout: 'compiling\ndone\n',
      stderr: 'a warning\n',
      isTruncated: false,
      durationMs: 2000,
    })
  })

  test('may be synchronous, and ends with 0 if it returns nothing', async () => {
    const { simulated, vm } = await runningVm()
    simulated.onExec(function* () {
      yield 'one '
      yield Buffer.from('two')
    })
    expect(await vm.guest.exec('echo one two').unwrap()).toMatchObject({ exitCode: 0, stdout: 'one two' })
  })

  test('waits for its reader', async () => {
    const { simulated, vm } = await runningVm()
    let printed = 0
    simulated.onExec(function* () {
      for (; printed < 10; printed += 1) yield new Uint8Array(100_000)
    })
    const job = vm.guest.exec(['cat'])
    const { stdout } = job
    await simulated.clock.advance(0)
    expect(printed).toBeLessThan(2)
    stdout.resume()
    expect((await job.unwrap()).stdout).toHaveLength(1_000_000)
  })

  test('is left when it is cancelled or its guest ends', async () => {
    const { simulated, vm } = await runningVm()
    const left: string[] = []
    simulated.onExec(async function* ({ argv: [name = ''], sleep }) {
      try {
        for (;;) {
          yield 'tick\n'
          await sleep(100)
        }
      } finally {
        left.push(name)
      }
    })
    const cancelled = vm.guest.exec(['cancelled'])
    await simulated.clock.advance(250)
    await cancelled.cancel().unwrap()
    await failureOf(cancelled, 'JOB_CANCELLED')
    const late = vm.guest.exec(['late'], { timeoutMs: 1 })
    await failureOf(late, 'TIMEOUT')
    const killed = vm.guest.exec(['guest'])
    await simulated.clock.advance(250)
    await vm.stop({ mode: 'kill' }).unwrap()
    await failureOf(killed, 'OUTCOME_UNKNOWN')
    await simulated.clock.advance(1000)
    expect(left).toEqual(['cancelled', 'late', 'guest'])
    expect(await simulated.clock.next()).toBe(false)
  })
})

test('a line for the shell is one to the program, and the options are passed on', async () => {
  const { simulated, vm } = await runningVm()
  simulated.onExec(({ argv, options }) => ({ stdout: JSON.stringify([argv, options]) }))
  const { stdout } = await vm.guest.exec('echo $HOME', { user: 'ci', pty: { columns: 80, rows: 24 } }).unwrap()
  expect(JSON.parse(stdout)).toEqual([['/bin/sh', '-c', 'echo $HOME'], { user: 'ci', pty: { columns: 80, rows: 24 } }])
})

test('a variable that no guest can have is refused, as by other hosts', async () => {
  const { vm } = await runningVm()
  for (const name of ['', 'A=B', '-u']) {
    const error = await failureOf(vm.guest.exec(['env'], { env: { [name]: 'x' } }), 'INVALID_ARGUMENT')
    expect(error.path).toBe(`options.env.${name}`)
  }
})

test.each<[unknown, string]>([
  [{ exitCode: -5 }, 'exitCode must be a whole number from 0 to 255'],
  [{ signal: 'TERM' }, 'signal must be the name of a signal'],
  [{ exitcode: 5 }, 'exitcode is not a known setting'],
  [
    (function* () {
      yield 5
    })(),
    'the output of the program must be an object',
  ],
])('a handler that answers %j is told what is wrong', async (answer, reason) => {
  const { simulated, vm } = await runningVm()
  simulated.onExec(() => answer as never)
  expect((await failureOf(vm.guest.exec(['x']), 'HOST_ERROR')).reason).toContain(reason)
})

describe('standard input', () => {
  test('is read as it is written', async () => {
    const { simulated, vm } = await runningVm()
    simulated.onExec(async function* ({ stdin }) {
      for await (const bytes of stdin) yield `got ${decode(bytes)}\n`
      yield 'end\n'
    })
    const job = vm.guest.exec(['cat'], { stdin: 'pipe' })
    job.stdin.write('one')
    await simulated.clock.advance(0)
    job.stdin.end('two')
    expect((await job.unwrap()).stdout).toBe('got one\ngot two\nend\n')
    expect((await vm.guest.exec(['cat']).unwrap()).stdout).toBe('end\n')
    expect((await vm.guest.exec(['cat'], { input: 'text' }).unwrap()).stdout).toBe('got text\nend\n')
  })

  test('that fails ends the program', async () => {
    const { simulated, vm } = await runningVm()
    let wasStopped = false
    simulated.onExec(async ({ stdin, signal }) => {
      signal.addEventListener('abort', () => {
        wasStopped = true
      })
      await buffer(stdin)
      return { exitCode: 0 }
    })
    const cause = new Error('the disk is gone')

    const input = (async function* () {
      yield 'a part'
      throw cause
    })()
    const error = await failureOf(vm.guest.exec(['cat'], { input }), 'INVALID_ARGUMENT')
    expect([error.cause, wasStopped]).toEqual([cause, true])
  })
})

describe('signals and terminals', () => {
  test('a signal ends a program that does not catch it', async () => {
    const { simulated, vm } = await runningVm()
    simulated.onExec(({ sleep }) => sleep(1000).then(() => ({})))
    const job = vm.guest.exec(['sleep'])
    await job.kill('SIGWINCH').unwrap()
    expect(job.status).toBe('running')
    await job.kill().unwrap()
    expect(await job.unwrap()).toMatchObject({ exitCode: undefined, signal: 'SIGTERM' })
    await failureOf(job.kill(), 'JOB_FINISHED')
  })

  test('a program may catch signals but SIGKILL, and see the size of its terminal', async () => {
    const { simulated, vm } = await runningVm()
    const seen: unknown[] = []
    simulated.onExec(({ onSignal, onResize, sleep }) => {
      onSignal((signal: SignalName) => seen.push(signal))
      onResize((size) => seen.push(size))
      return sleep(1000).then(() => ({}))
    })
    const job = vm.guest.exec(['top'], { pty: { columns: 80, rows: 24 } })
    await job.kill().unwrap()
    await job.resize({ columns: 100, rows: 30 }).unwrap()
    expect(seen).toEqual(['SIGTERM', { columns: 100, rows: 30 }])
    await job.kill('SIGKILL').unwrap()
    expect((await job.unwrap()).signal).toBe('SIGKILL')
  })
})

describe('programs as jobs of the host', () => {
  test('another connection finds one, with its output from the beginning, its input and its end', async () => {
    const { simulated, vm } = await runningVm()
    simulated.onExec(async function* ({ stdin }) {
      yield 'begun\n'
      for await (const bytes of stdin) yield decode(bytes)
      return { exitCode: 4, stderr: 'over\n' }
    })
    const job = vm.guest.exec(['cat'], { stdin: 'pipe', detached: true })
    await simulated.clock.advance(0)
    const other = simulated.connect()
    const found = (await other.getJobs().unwrap()).find(({ operation }) => operation === 'guest.exec')
    expect([found?.token, found instanceof ExecJob]).toEqual([job.token, true])
    const attached = other.attachJob(job.token!)
    attached.stdin.write('typed there\n')
    await simulated.clock.advance(0)
    job.stdin.end('typed here\n')
    const expected = { exitCode: 4, stdout: 'begun\ntyped there\ntyped here\n', stderr: 'over\n' }
    expect(await job.unwrap()).toMatchObject(expected)
    expect(await attached.unwrap()).toMatchObject(expected)
    expect(await found?.unwrap()).toMatchObject(expected)
    expect(await other.attachJob(job.token!).unwrap()).toMatchObject(expected)
  })

  test('one who attaches may end it, and one who only leaves does not end its input', async () => {
    const { simulated, vm } = await runningVm()
    simulated.onExec(async ({ stdin }) => {
      await buffer(stdin)
      return { exitCode: 0 }
    })
    const job = vm.guest.exec(['cat'], { stdin: 'pipe', detached: true })
    await simulated.clock.advance(0)
    const other = simulated.connect()
    const attached = other.attachJob(job.token!)
    await simulated.clock.advance(0)
    await other.close().unwrap()
    await attached
    expect(job.status).toBe('running')
    const third = simulated.connect().attachJob(job.token!)
    await third.kill('SIGKILL').unwrap()
    expect((await job.unwrap()).signal).toBe('SIGKILL')
    expect(await third.unwrap()).toMatchObject({ signal: 'SIGKILL' })
  })

  test('a close ends those that are not detached', async () => {
    const { simulated } = await runningVm()
    const ended: string[] = []
    simulated.onExec(async ({ argv: [name = ''], signal, sleep }) => {
      signal.addEventListener('abort', () => ended.push(name))
      await sleep(1000)
      return { stdout: name }
    })
    const server = simulated.connect()
    const own = await server.getVm('web-1').unwrap()
    const jobs = [own.guest.exec(['attached']), own.guest.exec(['detached'], { detached: true })]
    await simulated.clock.advance(100)
    expect(jobs[0]!.token).toBeUndefined()
    await server.close().unwrap()
    for (const job of jobs) await failureOf(job, 'OUTCOME_UNKNOWN')
    expect(ended).toEqual(['attached'])
    const left = (await simulated.server.getJobs().unwrap()).filter(({ operation }) => operation === 'guest.exec')
    expect(left.map(({ token }) => token)).toEqual([jobs[1]!.token])
    await simulated.clock.advance(1000)
    expect(await left[0]!.unwrap()).toMatchObject({ exitCode: 0, stdout: 'detached' })
  })
})
