import { text } from 'node:stream/consumers'
import { ExecJob, HostError, NotSupportedError, OutcomeUnknownError, type PtySize } from 'awaitvm'
import { describe, expect, test } from 'vitest'
import { fakeProgram, programOf } from '../../support/fake-program.js'
import { fakeServer } from '../../support/fake-server.js'

const codeOf = async (job: PromiseLike<unknown>): Promise<unknown> =>
  ((await job) as { readonly error?: { readonly code: string } }).error?.code

describe('kill', () => {
  test('sends SIGTERM, or the signal that it is given', async () => {
    const { job, signals } = await fakeProgram()
    await job.kill().unwrap()
    await job.kill('SIGUSR1').unwrap()
    expect(signals).toEqual(['SIGTERM', 'SIGUSR1'])
    expect(job.status).toBe('running')
    expect(job.kill()).toMatchObject({ operation: 'job.kill', target: { name: 'web-1' } })
  })

  test('waits until the program runs', async () => {
    const { job, signals, begin } = await fakeProgram({}, { hasBegun: false })
    const killing = job.kill('SIGINT')
    expect([killing.status, signals]).toEqual(['running', []])
    begin()
    await killing.unwrap()
    expect(signals).toEqual(['SIGINT'])
  })

  test('that waits can be cancelled, and sends nothing', async () => {
    const { job, signals, begin } = await fakeProgram({}, { hasBegun: false })
    const killing = job.kill()
    await killing.cancel().unwrap()
    expect(await codeOf(killing)).toBe('JOB_CANCELLED')
    begin()
    expect(signals).toEqual([])
  })

  test('of a program that has ended says so', async () => {
    const ended = await fakeProgram()
    ended.end()
    await ended.job
    expect(await codeOf(ended.job.kill())).toBe('JOB_FINISHED')
    const late = await fakeProgram()
    late.begin({ kill: () => Promise.resolve(false) })
    expect(await codeOf(late.job.kill())).toBe('JOB_FINISHED')
    const refused = await fakeProgram()
    expect(await codeOf(refused.vm.guest.exec([]).kill())).toBe('JOB_FINISHED')
  })

  test('of a program whose end nobody knows does not say that it had ended', async () => {
    const { job, call } = await fakeProgram()
    call.fail(new OutcomeUnknownError({ reason: 'the host is gone' }))
    await job
    expect(await codeOf(job.kill())).toBe('OUTCOME_UNKNOWN')
  })

  test('that fails has the error of the host', async () => {
    const { job, begin } = await fakeProgram({}, { hasBegun: false })
    const reason = 'the host sends no signals'
    begin({ kill: () => Promise.reject(new NotSupportedError({ capability: 'job.kill', reason })) })
    expect(await codeOf(job.kill())).toBe('NOT_SUPPORTED')
  })

  test.each(['TERM', 'SIGNONE', 9, null])('with %j as the signal is refused', async (signal) => {
    const { job, signals } = await fakeProgram()
    expect(job.kill(signal as never)).toMatchObject({
      retCode: 'INVALID_ARGUMENT',
      result: { error: { path: 'signal' } },
    })
    expect(signals).toEqual([])
  })
})

describe('resize', () => {
  test('passes the size on', async () => {
    const { job, begin } = await fakeProgram({ pty: { columns: 80, rows: 24 } }, { hasBegun: false })
    const sizes: PtySize[] = []
    begin({ resize: (size) => Promise.resolve(void sizes.push(size)) })
    await job.resize({ columns: 100, rows: 40 }).unwrap()
    expect(sizes).toEqual([{ columns: 100, rows: 40 }])
  })

  test('needs a terminal, and a size', async () => {
    const { job } = await fakeProgram()
    expect(await codeOf(job.resize({ columns: 1, rows: 1 }))).toBe('NOT_SUPPORTED')
    expect(await codeOf(job.resize({ columns: 0, rows: 1 }))).toBe('INVALID_ARGUMENT')
  })
})

describe('jobs of the host', () => {
  test('attachJob gives the output, the input and the end of a program', async () => {
    const { server, driver } = await fakeProgram()
    const attached = server.attachJob('task-1')
    const followed = programOf(driver)
    const { last } = driver
    followed.begun({ kill: () => Promise.resolve(true) })
    const reading = text(attached.stdout)
    attached.stdin.end('typed')
    const typed: string[] = []
    for await (const piece of followed.input!) typed.push(String(piece))
    await followed.output('stdout', Buffer.from('kept'))
    await attached.kill().unwrap()
    last.succeed({ exitCode: 4 })
    expect(await attached.unwrap()).toMatchObject({ exitCode: 4, stdout: 'kept', stderr: '' })
    expect([await reading, typed]).toEqual(['kept', ['typed']])
  })

  test('attachJob to a job of another kind has its outcome, and empty streams', async () => {
    const { server, driver } = await fakeProgram()
    const attached = server.attachJob('task-1')
    driver.last.succeed('running')
    expect(await attached.unwrap()).toBe('running')
    expect(await text(attached.stdout)).toBe('')
    expect(await codeOf(attached.kill())).toBe('JOB_FINISHED')
  })

  test('an end that is none is an error of the host', async () => {
    const { server, driver } = await fakeProgram()
    const attached = server.attachJob('task-1')
    programOf(driver).begun({ kill: () => Promise.resolve(true) })
    driver.last.succeed({ exitCode: 'four' })
    expect((await attached)._unsafeUnwrapErr()).toBeInstanceOf(HostError)
  })

  test('getJobs has own programs and those of others as ExecJobs, with their streams', async () => {
    const target = { vm: { id: 'id-of-web-1', name: 'web-1' }, progress: {} }
    const { server, driver, vm } = await fakeServer({
      answers: {
        'server.getJobs': () => [
          { token: 'task-9', operation: 'guest.exec', ...target },
          { token: 'task-8', operation: 'vm.start', ...target },
        ],
      },
    })
    const job = vm.guest.exec(['program'])
    const io = programOf(driver)
    const [own, other, start] = (await server.getJobs().unwrap()).filter(
      ({ operation }) => operation !== 'server.getJobs',
    )
    expect([own?.id, own instanceof ExecJob, other instanceof ExecJob, start instanceof ExecJob]).toEqual([
      job.id,
      true,
      true,
      false,
    ])
    void io.output('stdout', Buffer.from('printed'))
    expect(String((own as ExecJob).stdout.read())).toBe('printed')
  })
})
