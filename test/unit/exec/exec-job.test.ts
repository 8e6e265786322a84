import { once } from 'node:events'

import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { Writable } from 'node:stream'
import { HostError, OutcomeUnknownError, type ProgramOutput, type VmErrors } from 'awaitvm'
import { describe, expect, test } from 'vitest'
import { fakeProgram } from '../../support/fake-program.js'
import { uncaughtIn } from '../../support/uncaught.js'

const turn = (): Promise<void> => new Promise(setImmediate)

async function failureOf<C extends keyof VmErrors>(
  job: PromiseLike<{ isErr(): boolean }>,
  code: C,
): Promise<VmErrors[C]> {
  const result = (await job) as { readonly error?: VmErrors[C] }
  expect(result.error?.code).toBe(code)
  return result.error!
}

async function all<T>(pieces: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const piece of pieces) list.push(piece)
  return list
}

describe('the result', () => {
  test('has text, how the program ended, and how long it ran', async () => {
    const { job, print, end } = await fakeProgram()
    void print('out ')
    void print('err', 'stderr')
    void print('put')
    end({ exitCode: 3 })
    const result = await job.unwrap()
    expect(result).toMatchObject({ exitCode: 3, stdout: 'out put', stderr: 'err', isTruncated: false })
    expect(result.durationMs).toBeGreaterThanOrEqual(0)
    expect(result).not.toHaveProperty('signal')
  })

  test('has bytes with encoding: buffer', async () => {
    const { job, print, end } = await fakeProgram((vm) => vm.guest.exec(['program'], { encoding: 'buffer' }))
    void print(Uint8Array.of(0, 255))
    end()
    expect([...(await job.unwrap()).stdout]).toEqual([0, 255])
  })

  test('keeps a character that comes in two pieces', async () => {
    const seen: string[] = []
    const { job, print, end } = await fakeProgram({
      onOutput: ({ stream, data }) => void seen.push(`${stream} ${data}`),
    })
    const bytes = Buffer.from('aé')
    void print(bytes.subarray(0, 2))
    void print('x', 'stderr')
    void print(bytes.subarray(2))
    void print(bytes.subarray(0, 2))
    end()
    expect((await job.unwrap()).stdout).toBe('aéa\ufffd')
    expect(seen).toEqual(['stdout a', 'stderr x', 'stdout é', 'stdout a', 'stdout \ufffd'])
  })

  test('keeps the first bytes of each output up to the limit', async () => {
    const { job, print, end } = await fakeProgram({ maxOutputBytes: 4 })
    void print('123456')
    void print('12', 'stderr')
    void print('34', 'stderr')
    end()
    expect(await job.unwrap()).toMatchObject({ stdout: '1234', stderr: '1234', isTruncated: true })
  })

  test('is truncated if the host dropped output', async () => {
    const { job, end } = await fakeProgram()
    end({ exitCode: 0, isTruncated: true })
    expect((await job.unwrap()).isTruncated).toBe(true)
  })

  test('names the signal', async () => {
    const { job, end } = await fakeProgram()
    end({ signal: 'SIGKILL' })
    expect(await job.unwrap()).toMatchObject({ exitCode: undefined, signal: 'SIGKILL' })
  })
})

describe('check', () => {
  test('an exit code other than 0 is an error with the end of what the program said', async () => {
    const { job, print, end } = await fakeProgram((vm) => vm.guest.exec('make', { check: true, maxOutputBytes: 10 }))
    void print('x'.repeat(10_000), 'stderr')
    void print('\nno rule for all\n', 'stderr')
    end({ exitCode: 2 })
    const error = await failureOf(job, 'PROGRAM_FAILED')
    expect(error).toMatchObject({ exitCode: 2, signal: undefined, reason: expect.stringContaining('no rule for all') })
    expect(error.stderr).toHaveLength(4096)
    expect(error.stderr.endsWith('xx\nno rule for all\n')).toBe(true)
  })

  test('a signal is an error, and success is none', async () => {
    const killed = await fakeProgram((vm) => vm.guest.exec('make', { check: true }))
    killed.end({ signal: 'SIGSEGV' })
    expect(await failureOf(killed.job, 'PROGRAM_FAILED')).toMatchObject({ exitCode: undefined, signal: 'SIGSEGV' })
    const good = await fakeProgram((vm) => vm.guest.exec('make', { check: true }))
    good.end()
    expect((await good.job.unwrap()).exitCode).toBe(0)
  })

  test('with a terminal, the end of its only output is told', async () => {
    const { job, print, end } = await fakeProgram((vm) =>
      vm.guest.exec('make', { check: true, pty: { columns: 80, rows: 24 } }),
    )
    void print('it is broken')
    end({ exitCode: 1 })
    expect((await failureOf(job, 'PROGRAM_FAILED')).stderr).toBe('it is broken')
  })
})

describe('streams', () => {
  test('that nobody asks for hold nothing back', async () => {
    const { print, job, end } = await fakeProgram()
    for (let piece = 0; piece < 100; piece += 1) expect(print(Buffer.alloc(2 ** 20))).toBeUndefined()
    end()
    expect((await job.unwrap()).isTruncated).toBe(true)
  })

  test('give the bytes as they come, and end with the program', async () => {
    const { print, job, end } = await fakeProgram()
    const reading = text(job.stdout)
    const errors = text(job.stderr)
    void print('one ')
    await turn()
    void print('two')
    void print('wrong', 'stderr')
    end()
    expect(await Promise.all([reading, errors])).toEqual(['one two', 'wrong'])
  })

  test('that come late begin with what was kept', async () => {
    const { print, job, end } = await fakeProgram()
    void print('early ')
    const reading = text(job.stdout)
    void print('late')
    end()
    expect(await reading).toBe('early late')
    await job
    expect(job.stdout.destroyed).toBe(true)
  })

  test('of a program that has ended give what was kept', async () => {
    const { print, job, end } = await fakeProgram()
    void print('all of it')
    end()
    await job
    expect(await text(job.stdout)).toBe('all of it')
    expect(await text(job.stderr)).toBe('')
  })

  test('that come after output was dropped fail, and say what to do', async () => {
    const { print, job, end } = await fakeProgram({ maxOutputBytes: 1 })
    void print('12')
    await expect(text(job.stdout)).rejects.toMatchObject({
      code: 'INSUFFICIENT_RESOURCES',
      hint: expect.stringContaining('maxOutputBytes'),
    })
    await expect(all(job.output())).rejects.toMatchObject({ code: 'INSUFFICIENT_RESOURCES' })
    end()
    expect((await job.unwrap()).stdout).toBe('1')
  })

  test('hold the program back while their reader has enough', async () => {
    const { print, job } = await fakeProgram()
    const { stdout } = job
    const waiting = print(Buffer.alloc(2 ** 20))
    expect(waiting).toBeInstanceOf(Promise)
    let isWanted = false
    void waiting!.then(() => {
      isWanted = true
    })
    await turn()
    expect(isWanted).toBe(false)
    stdout.resume()
    await waiting
    expect(isWanted).toBe(true)
  })

  test('that are destroyed hold nothing back, and the result is complete', async () => {
    const { print, job, end } = await fakeProgram()
    const { stdout } = job
    const waiting = print(Buffer.alloc(2 ** 20, 'x'))
    stdout.destroy()
    await waiting
    expect(print('end')).toBeUndefined()
    end()
    expect((await job.unwrap()).stdout).toHaveLength(2 ** 20 + 3)
  })

  test('of a job that failed end too early, without an uncaught error', async () => {
    const { print, job, call } = await fakeProgram()
    const { stdout } = job
    const errors = await uncaughtIn(async () => {
      void job.stderr.resume()
      void print('a part')
      call.fail(new OutcomeUnknownError({ reason: 'the host is gone' }))
      await job
      expect(stdout.read().toString()).toBe('a part')
      await once(stdout, 'close')
    })
    expect(errors).toEqual([])
    const late = await fakeProgram()
    const copied = pipeline(late.job.stdout, new Writable({ write: (_chunk, _encoding, done) => done() }))
    late.call.fail(new HostError({ reason: 'no', native: { driver: 'fake', message: 'no' } }))
    await expect(copied).rejects.toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' })
  })

  test('of a cancelled program end as it does', async () => {
    const { print, job, call } = await fakeProgram()
    const { signal } = call.task
    signal.addEventListener('abort', () => {
      call.fail(signal.reason)
    })
    const reading = text(job.stdout)
    void print('before')
    await job.cancel().unwrap()
    await failureOf(job, 'JOB_CANCELLED')
    expect(await reading).toBe('before')
  })

  test('of a call that was refused end too early', async () => {
    const { vm } = await fakeProgram()
    const job = vm.guest.exec([])
    expect(job.retCode).toBe('INVALID_ARGUMENT')
    await expect(text(job.stdout)).rejects.toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' })
    await expect(all(job.output())).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})

describe('output()', () => {
  test('gives both outputs in order, to each of several readers, from the first piece on', async () => {
    const { print, job, end } = await fakeProgram()
    void print('1')
    void print('2', 'stderr')
    void print('3')
    const first = all(job.output())
    void print('4', 'stderr')
    const second = all(job.output())
    void print('5')
    end()
    const joined = (pieces: ProgramOutput<string>[]): string =>
      pieces.map(({ stream, data }) => `${stream}=${data}`).join(' ')
    const expected = 'stdout=1 stderr=2 stdout=3 stderr=4 stdout=5'
    expect(joined(await first)).toBe(expected)
    expect(joined(await second)).toBe(expected)
  })

  test('holds the program back until the loop goes on, and no longer once it was left', async () => {
    const { print, job, end } = await fakeProgram()
    const pieces = job.output()[Symbol.asyncIterator]()
    let held: Promise<void> | void = undefined
    for (let count = 0; held === undefined && count < 1000; count += 1) held = print('x')
    expect(held).toBeInstanceOf(Promise)
    await pieces.next()
    await pieces.return?.()
    await held
    expect(print('y')).toBeUndefined()
    end()
    await job.unwrap()
  })

  test('throws the error of a job that failed', async () => {
    const { print, job, call } = await fakeProgram()
    const reading = all(job.output())
    void print('x')
    call.fail(new OutcomeUnknownError({ reason: 'the host is gone' }))
    await expect(reading).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
    expect(await uncaughtIn(() => void job.output())).toEqual([])
  })
})

describe('onOutput', () => {
  test('holds the program back while its promise is pending', async () => {
    let goOn = (): void => undefined
    const { print } = await fakeProgram({ onOutput: () => new Promise<void>((resolve) => (goOn = resolve)) })
    const waiting = print('x')
    expect(waiting).toBeInstanceOf(Promise)
    goOn()
    await waiting
  })

  test('that throws or rejects breaks nothing, and is an uncaught error', async () => {
    const { print, job, end } = await fakeProgram({
      onOutput: ({ data }) => {
        if (data === 'throw') throw new Error('thrown')
        return Promise.reject(new Error('rejected'))
      },
    })
    const errors = await uncaughtIn(async () => {
      await print('throw')
      await print('reject')
    })
    expect(errors.map(String)).toEqual(['Error: thrown', 'Error: rejected'])
    end()
    expect((await job.unwrap()).stdout).toBe('throwreject')
  })
})

test('256 MiB through a stream are held in bounded memory', async () => {
  const { print, job, end } = await fakeProgram({ maxOutputBytes: 1024 })
  let read = 0
  let most = 0
  job.stdout.on('data', (chunk: Buffer) => {
    read += chunk.byteLength
    most = Math.max(most, job.stdout.readableLength)
  })
  for (let piece = 0; piece < 1024; piece += 1) await print(Buffer.alloc(256 * 1024))
  end()
  expect((await job.unwrap()).stdout).toHaveLength(1024)
  if (!job.stdout.readableEnded) await once(job.stdout, 'end')
  expect(read).toBe(256 * 2 ** 20)
  expect(most).toBeLessThanOrEqual(512 * 1024)
})
