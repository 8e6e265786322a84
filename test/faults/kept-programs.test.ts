import { connect, type Server, type Vm } from 'awaitvm'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { soon, within } from '../../src/testing/conformance/deadline.js'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { beginProgram } from '../../src/testing/conformance/guest-program.js'
import { OutputReader } from '../../src/testing/conformance/output-reader.js'
import { Child } from '../support/child-process.js'
import { skipWithout } from '../support/optional-tool.js'
import { waysOnQemu } from '../support/ways-into-guests.js'
import { whatIsInGuest } from '../support/what-is-in-guest.js'

const timeout = 180_000

/** What a program needs to end. */
const go = '/run/go'

describe.each(waysOnQemu)('detached programs, by $name', ({ name, missing, open }) => {
  let unavailable: string | undefined
  let guest: Awaited<ReturnType<typeof open>>
  let before: readonly string[]

  beforeAll(async () => {
    unavailable = await missing()
    if (unavailable !== undefined) return
    guest = await open()
    before = await whatIsInGuest(guest.vm)
  }, 300_000)
  afterAll(async () => {
    if (unavailable === undefined) await guest[Symbol.asyncDispose]()
  })
  beforeEach((context) => {
    skipWithout(context, unavailable)
  })
  afterEach(async () => {
    if (unavailable !== undefined) return
    await guest.vm.guest.rm(go, { force: true }).unwrap()
    await vi.waitFor(async () => {
      expect((await whatIsInGuest(guest.vm)).filter((line) => !before.includes(line))).toEqual([])
    }, soon)
    expect(await guest.host.server.getJobs().unwrap()).toEqual([])
  })

  const letGo = (vm: Vm): Promise<unknown> => vm.guest.writeFile(go, '').unwrap()

  /** The token of the only program that the host lists. */
  const onlyToken = (server: Server): Promise<string> =>
    vi.waitFor(async () => {
      const [job, more] = await server.getJobs().unwrap()
      if (job?.token === undefined || more !== undefined) throw new Error('not one program is listed')
      return job.token
    }, soon)

  test.each([
    ['that prints', 'a detached program', { exitCode: 3, stdout: 'begun\nover\n' }],
    ['that prints much', 'a detached program that prints', { exitCode: 0 }],
    ['whose input it was writing', 'a detached program that reads', { exitCode: 4 }],
  ])('one %s outlives the process that started it, which is killed', { timeout }, async (_what, work, end) => {
    await using child = new Child('guest-child.ts', [guest.host.uri, work])
    await child.printed('reached')
    await child.kill()

    await using server = await connect(guest.host.uri).unwrap()
    const attached = server.attachJob(await onlyToken(server))
    const output = new OutputReader(attached.stdout)
    await output.until(/begun\n|y\n/)
    await letGo(guest.vm)
    attached.stdin.end()
    const result = await within(attached, () => 'the end of the program')
    expect(result.isOk() ? result.value : result.error).toMatchObject(end)
  })

  test('one that a killed process may not have started is told of as such', { timeout }, async () => {
    await using child = new Child('guest-child.ts', [guest.host.uri, 'detached programs that are being started'])
    await child.printed('reached')
    await child.kill()
    await using server = await connect(guest.host.uri).unwrap()
    const jobs = await server.getJobs().unwrap()
    expect(jobs.length).toBeGreaterThan(0)
    await letGo(guest.vm)
    for (const { token = '' } of jobs) {
      const result = await within(server.attachJob(token), () => 'the end of a program')
      if (result.isErr()) expect(result.error.code).toBe('OUTCOME_UNKNOWN')
      else expect(result.value).toMatchObject({ exitCode: 3 })
    }
  })

  test('one goes on after its VM was suspended and resumed, and its job ends as it does', { timeout }, async () => {
    const { vm } = guest
    const script = `echo begun; until [ -e ${go} ]; do sleep 0.1; done; echo over; exit 3`
    const job = vm.guest.exec(script, { detached: true })
    const output = new OutputReader(job.stdout)
    await output.until('begun\n')
    await vm.suspend().unwrap()
    await vi.waitFor(() => expect(job.status).toBe('unknown'), soon)
    await vm.resume().unwrap()
    await letGo(vm)
    await output.until('over\n')
    expect(await job.unwrap()).toMatchObject({ exitCode: 3, stdout: 'begun\nover\n' })
    expect(job.status).toBe('finished')
  })

  test(
    'one that can not be asked to end has an unknown outcome, and is followed again later',
    { timeout },
    async () => {
      const { vm, host } = guest
      const { job } = await beginProgram(vm, 'exec sleep 2305', { detached: true })
      await vm.suspend().unwrap()
      await vi.waitFor(() => expect(job.status).toBe('unknown'), soon)
      await Promise.all([failureOf(job, 'OUTCOME_UNKNOWN'), job.cancel()])
      await vm.resume().unwrap()
      const attached = host.server.attachJob(job.token ?? '')
      await attached.cancel().unwrap()
      await failureOf(attached, 'JOB_CANCELLED')
    },
  )

  test('one that is cancelled ends with all that it started', { timeout }, async () => {
    const { job } = await beginProgram(guest.vm, 'sleep 2300 & setsid sleep 2301 & exec sleep 2304', { detached: true })
    await job.cancel().unwrap()
    await failureOf(job, 'JOB_CANCELLED')
    const again = await failureOf(guest.host.server.attachJob(job.token ?? ''), 'JOB_CANCELLED')
    expect(again.reason).toContain('asked to end')
  })

  if (name !== 'SSH') {
    test('one outlives the agent, and is followed again by the next one', { timeout }, async () => {
      const { vm } = guest
      const script = `echo begun; until [ -e ${go} ]; do sleep 0.1; done; echo over`
      const job = vm.guest.exec(script, { detached: true })
      const output = new OutputReader(job.stdout)
      await output.until('begun\n')
      // The agent ends; a service would start it again.
      const restart = `a="exec $(tr '\\0' ' ' </proc/$(pidof qemu-ga)/cmdline)"
        (setsid sh -c "sleep 1; kill $(pidof qemu-ga); sleep 1; $a" </dev/null >/dev/null 2>&1 &)`
      await vm.guest.exec(restart, { check: true }).unwrap()
      await vi.waitFor(() => expect(job.status).toBe('unknown'), soon)
      await vi.waitFor(() => letGo(vm), soon)
      await output.until('over\n')
      expect(await job.unwrap()).toMatchObject({ exitCode: 0, stdout: 'begun\nover\n' })
    })
  }

  test('one whose guest is reset has an unknown outcome, and is listed no longer', { timeout }, async () => {
    const { vm } = guest
    const { job } = await beginProgram(vm, 'exec sleep 2302', { detached: true })
    await vm.reset().unwrap()
    await failureOf(job, 'OUTCOME_UNKNOWN')
    await vm.guest.waitUntilReady({ timeoutMs: 60_000 }).unwrap()
    await failureOf(guest.host.server.attachJob(job.token ?? ''), 'INVALID_ARGUMENT')

    const { job: second } = await beginProgram(vm, 'exec sleep 2303', { detached: true })
    await vm.stop({ mode: 'kill' }).unwrap()
    await failureOf(second, 'OUTCOME_UNKNOWN')
    expect(await guest.host.server.getJobs().unwrap()).toEqual([])
    await vm.start().unwrap()
    await vm.guest.waitUntilReady({ timeoutMs: 60_000 }).unwrap()
    await failureOf(guest.host.server.attachJob(second.token ?? ''), 'OUTCOME_UNKNOWN')
  })
})
