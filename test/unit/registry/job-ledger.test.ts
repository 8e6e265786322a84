import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HostError, JobCancelledError, VmError } from 'awaitvm'
import { createJob } from 'awaitvm/testing'
import { expect, onTestFinished, test, vi } from 'vitest'
import { Membership } from '../../../src/registry/membership.js'
import { JobLedger } from '../../../src/registry/job-ledger.js'
import { soon } from '../../../src/testing/conformance/deadline.js'
import { hostTask } from '../../../src/driver/host-task.js'

const explain = (error: unknown): VmError =>
  error instanceof VmError ? error : new HostError({ reason: String(error), native: { driver: 'x', message: '' } })

/** A long job, with its owner and a follower; `end` makes it fail. */
async function followedJob(): Promise<{
  readonly owned: ReturnType<typeof createJob>
  readonly follower: ReturnType<typeof createJob>
  readonly followed: Promise<unknown>
  end(error: Error): void
}> {
  const root = await mkdtemp(join(tmpdir(), 'awaitvm-'))
  onTestFinished(() => rm(root, { recursive: true }))
  const ledger = new JobLedger({ root, member: new Membership(root) }, 'fake', explain, () => Promise.resolve(false))
  const owned = createJob()
  let end = (_error: Error): void => undefined
  const work = new Promise<never>((_resolve, reject) => (end = reject))
  ledger.keep(hostTask(owned.task), () => work).catch(() => undefined)
  const token = await vi.waitFor(() => owned.job.token ?? expect.fail('it is not written down yet'), soon)
  const follower = createJob()
  const followed = ledger.follow(token, hostTask(follower.task)).catch((error: unknown) => error)
  return { owned, follower, followed, end }
}

test('a follower sees a job as cancelled if somebody asked for that', async () => {
  const { owned, follower, followed, end } = await followedJob()
  owned.task.cancelWith(() => true)
  void owned.job.cancel('enough')
  end(new JobCancelledError({ reason: 'enough' }))
  expect(await followed).toMatchObject({ code: 'JOB_CANCELLED', reason: 'enough' })
  expect(hostTask(follower.task).isAskedToStop).toBe(true)
})

test('a follower sees a job as failed if the host cancelled it by itself', async () => {
  const { follower, followed, end } = await followedJob()
  end(new JobCancelledError({ reason: 'Operation canceled' }))
  expect(await followed).toMatchObject({
    code: 'HOST_ERROR',
    native: { driver: 'fake', code: 'JOB_CANCELLED', message: 'Operation canceled' },
  })
  expect(hostTask(follower.task).isAskedToStop).toBe(false)
})
