import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import type { ProgramControl, ProgramIo } from 'awaitvm/driver'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { GuestProgram } from '../../../src/guest/guest-way.js'
import { KeptFollower, removeKept, startKept, type KeptProgram } from '../../../src/guest/kept-program.js'
import { patience, soon } from '../../../src/testing/conformance/deadline.js'
import { guestShells, LocalWay } from '../../support/local-guest.js'

const unending = new AbortController().signal

/** What a follower was told of a program. */
class Told implements ProgramIo {
  readonly input = undefined
  stdout = ''
  stderr = ''
  control: ProgramControl | undefined

  readonly output = (stream: 'stdout' | 'stderr', bytes: Uint8Array): void => {
    this[stream] += Buffer.from(bytes).toString()
  }

  readonly begun = (control: ProgramControl): void => {
    this.control = control
  }
}

describe.each(guestShells)('a program that a guest with %s keeps', (shell) => {
  let run: string
  let way: LocalWay

  beforeEach(async () => {
    run = await mkdtemp(join(tmpdir(), 'awaitvm-run-'))
    way = new LocalWay(shell, { run })
  })
  afterEach(async () => {
    await rm(run, { recursive: true })
  })

  const guest = { driver: 'local', use: <T>(action: (local: LocalWay) => Promise<T>): Promise<T> => action(way) }

  async function start(argv: readonly string[], more: Partial<GuestProgram> & { readonly hasInput?: boolean } = {}) {
    const { hasInput = false, ...options } = more
    const [name = ''] = argv
    const { cwd = '', user = '' } = options
    const kept: KeptProgram = { id: randomBytes(12).toString('hex'), hasInput, name, cwd, user }
    await startKept(way, kept, { argv, ...options })
    return kept
  }

  function follow(kept: KeptProgram) {
    const told = new Told()
    const follower = new KeptFollower(guest, kept, told)
    return { told, follower, outcome: follower.follow(unending) }
  }

  const endOf = async (argv: readonly string[], more: Partial<GuestProgram> = {}) => {
    const kept = await start(argv, more)
    const { told, outcome } = follow(kept)
    const result = { ...(await outcome), stdout: told.stdout, stderr: told.stderr }
    await removeKept(way, kept)
    return result
  }

  test('ends with its exit code and its outputs, or with the signal that has ended it', async () => {
    expect(await endOf(['sh', '-c', 'echo out; echo err >&2; exit 7'])).toEqual({
      end: { exitCode: 7 },
      stdout: 'out\n',
      stderr: 'err\n',
    })
    expect(await endOf(['sh', '-c', 'kill -9 $$'])).toMatchObject({ end: { signal: 'SIGKILL' } })
    expect(await readdir(run)).toEqual([])
  })

  test('has its folder, its variables and its umask', async () => {
    const { stdout } = await endOf(['sh', '-c', 'pwd; echo "$X"; umask'], { cwd: '/', env: { X: "it's\n$HOME" } })
    expect(stdout).toMatch(/^\/\nit's\n\$HOME\n0*22\n$/)
  })

  test('that can not be started is refused by name', async () => {
    expect(await endOf(['/no/such/program'])).toMatchObject({ error: { code: 'INVALID_ARGUMENT' } })
    expect(await endOf(['true'], { cwd: '/no/such' })).toMatchObject({ error: { path: 'options.cwd' } })
    expect(await readdir(run)).toEqual([])
  })

  test('is followed by several, before and after its end, each from the first byte', async () => {
    const go = join(run, 'go')
    const kept = await start(['sh', '-c', `echo one; until [ -e ${go} ]; do sleep 0.05; done; echo two`])
    const first = follow(kept)
    const second = follow(kept)
    await vi.waitFor(() => expect([first.told.stdout, second.told.stdout]).toEqual(['one\n', 'one\n']), soon)
    await way.run({ argv: ['touch', go] }, new Told(), unending)
    const end = { end: { exitCode: 0 } }
    expect([await first.outcome, await second.outcome, await follow(kept).outcome]).toEqual([end, end, end])
    expect([first.told.stdout, second.told.stdout]).toEqual(['one\ntwo\n', 'one\ntwo\n'])
    await removeKept(way, kept)
    expect(await follow(kept).outcome).toBeUndefined()
    expect(await readdir(run)).toEqual(['go'])
  })

  test('reads what several write, until one of them ends its input', async () => {
    const kept = await start(['cat'], { hasInput: true })
    const { told, outcome, follower } = follow(kept)
    await follower.begun
    let end = (): void => undefined
    const ended = new Promise<void>((resolve) => {
      end = resolve
    })
    const write = async function* (text: string) {
      yield Buffer.from(text)
      await ended
    }
    const other = new KeptFollower(guest, kept, new Told())
    const open = new AbortController()
    const feeds = [follower.feed(write('one '), open.signal), other.feed(write('two '), open.signal)]
    await vi.waitFor(() => expect(told.stdout.split(' ').sort()).toEqual(['', 'one', 'two']), soon)
    await follower.feed(
      (async function* () {
        yield await Promise.resolve(Buffer.from('end'))
      })(),
      open.signal,
    )
    expect(await outcome).toEqual({ end: { exitCode: 0 } })
    expect(told.stdout).toMatch(/end$/)
    end()
    await Promise.all(feeds)
    await removeKept(way, kept)
  })

  test('tells all who wait for its begin', async () => {
    const kept = await start(['true'])
    const { follower, outcome } = follow(kept)
    await Promise.all([follower.begun, follower.begun])
    expect(await outcome).toEqual({ end: { exitCode: 0 } })
    await removeKept(way, kept)
  })

  test('is stopped if the source of its input fails', async () => {
    const kept = await start(['cat'], { hasInput: true })
    const { outcome, follower } = follow(kept)
    await follower.begun
    const failing = async function* () {
      yield await Promise.resolve(Buffer.from('one'))
      throw new Error('it is broken')
    }
    await follower.feed(failing(), unending)
    expect(await outcome).toMatchObject({ error: { code: 'JOB_CANCELLED' } })
    expect(follower.inputFailure).toMatchObject({ error: { message: 'it is broken' } })
    await removeKept(way, kept)
  })

  test('gets signals, and is stopped with all that it has started', async () => {
    const trapped = await start(['sh', '-c', 'trap "echo got; exit 4" USR1; echo ready; while :; do sleep 0.05; done'])
    const first = follow(trapped)
    await vi.waitFor(() => expect(first.told.stdout).toBe('ready\n'), soon)
    expect(await first.told.control?.kill('SIGUSR1')).toBe(true)
    expect(await first.outcome).toEqual({ end: { exitCode: 4 } })
    expect(await first.told.control?.kill('SIGTERM')).toBe(false)
    await removeKept(way, trapped)

    const parent = await start(['sh', '-c', 'sleep 2100 & echo "$!"; wait'])
    const second = follow(parent)
    await vi.waitFor(() => expect(second.told.stdout).toMatch(/^\d+\n$/), soon)
    expect(await second.follower.stop()).toBe(true)
    expect(await second.outcome).toMatchObject({ error: { code: 'JOB_CANCELLED' } })
    expect(existsSync(`/proc/${second.told.stdout.trim()}/exe`)).toBe(false)
    expect(await second.follower.stop()).toBe(false)
    await removeKept(way, parent)
  })

  test('tells of output that its guest did not keep', { timeout: patience.timeoutMs }, async () => {
    const size = 17 * 2 ** 20
    const kept = await start(['sh', '-c', `head -c ${size} /dev/zero; echo err >&2; exit 2`])
    const { told, outcome } = follow(kept)
    expect(await outcome).toEqual({ end: { exitCode: 2, isTruncated: true } })
    expect(told.stdout.length).toBeGreaterThan(15 * 2 ** 20)
    expect(told.stdout.length).toBeLessThanOrEqual(16 * 2 ** 20)
    expect(told.stderr).toBe('err\n')
    await removeKept(way, kept)
  })

  test('whose keeper was killed is not waited for', async () => {
    const kept = await start(['sleep', '2101'])
    const { outcome, follower } = follow(kept)
    await follower.begun
    const [folder = ''] = await readdir(run)
    await way.run({ argv: ['sh', '-c', `kill -9 "$(cat ${join(run, folder, 'k')})"`] }, new Told(), unending)
    expect(await outcome).toBeUndefined()
    await follower.stop()
    await removeKept(way, kept)
    expect(await readdir(run)).toEqual([])
  })
})
