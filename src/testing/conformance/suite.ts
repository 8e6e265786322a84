import { afterAll, describe, test } from 'vitest'
import type { Capability } from '../../operations.js'
import type { Conformance, Need } from './case.js'
import { allCases, subjects as allSubjects, type Subject } from './cases.js'
import { GuestLacksError, GuestMissingError } from './guest.js'
import { describedHost, type ConformanceHost, type DescribedHost } from './host.js'
import { expectRefusal, refusable } from './refusal.js'
import { SharedTrial } from './shared-trial.js'
import { Trial } from './trial.js'

declare module 'vitest' {
  /** What the conformance suite tells a reporter of each test. */
  interface TaskMeta {
    /** The capabilities that the case needs of the host. */
    needs?: readonly Capability[]
    /** Those of them that the host does not offer: it was checked that it refuses them. */
    refused?: readonly Capability[]
    /** What is not installed on this machine, for which the test was skipped. */
    missing?: string
  }
}

type Promised = Parameters<Conformance['promises']>

/** For a host that has to stop a VM whose guest does not answer. */
const disposeTimeoutMs = 120_000

/** What the cases found of each capability: `'failed'` if a case that needs it did not pass. */
export type CapabilityRecord = Map<Capability, 'offered' | 'refused' | 'failed'>

/**
 * Registers vitest's tests of a host: whether its driver keeps every promise of the public API. Of an operation that the driver
 * does not have, they check that it is refused with `NOT_SUPPORTED`, and that nothing is changed. Each test has a host of its own.
 *
 * @param subjects the subjects to test, for example `['lifecycle', 'close']`; all of them if absent
 *
 * @example
 * ```ts
 * import { connect } from 'awaitvm'
 * import { describeConformance, noGuest } from 'awaitvm/testing/conformance'
 *
 * describeConformance({
 *   name: 'mine:',
 *   guest: noGuest({ runsBare: true }),
 *   async open(options) {
 *     return { server: await connect('mine:', options).unwrap() }
 *   },
 * })
 * ```
 */
export function describeConformance(host: ConformanceHost, subjects?: readonly Subject[]): void {
  const { name, unavailable } = host
  if (unavailable === undefined) {
    describe(`conformance of ${name}`, () => {
      checkAll(host, subjects)
    })
  } else {
    test(`conformance of ${name}`, ({ task, skip }) => {
      task.meta.missing = unavailable
      skip(unavailable)
    })
  }
}

/** Registers a test of each case of the subjects. The record is filled while they run. */
export function checkAll(described: ConformanceHost, subjects: readonly Subject[] = allSubjects): CapabilityRecord {
  const host = describedHost(described)
  const record: CapabilityRecord = new Map()
  const note = (capabilities: readonly Capability[], outcome: 'offered' | 'refused' | 'failed'): void => {
    for (const capability of capabilities) {
      if (record.get(capability) !== 'failed') record.set(capability, outcome)
    }
  }

  const promises = (shared: SharedTrial | undefined, ...[title, abstractNeeds, run, options]: Promised): void => {
    const { needs, needsGuest } = needsOn(host, abstractNeeds)
    const timeout = options?.timeoutMs
    test(title, { meta: { needs }, ...(timeout !== undefined && { timeout }) }, async ({ task, skip, signal }) => {
      if (needsGuest && host.guest.missing !== undefined) skip(host.guest.missing)
      const trial = await (shared?.open() ?? Trial.open(host, { needsGuest, connect: options?.connect }))
      const dispose = (): Promise<void> => shared?.dispose() ?? trial.dispose()
      const interrupt = (): void => {
        trial.interrupt()
      }
      signal.addEventListener('abort', interrupt)
      const { capabilities } = trial.server
      const missing = needs.filter((capability) => !capabilities.has(capability))
      if (missing.length > 0) task.meta.refused = missing
      try {
        if (missing.length === 0) await run(trial)
        else await expectRefusal(trial, missing)
        if (shared !== undefined) await trial.endSharedCase()
      } catch (error) {
        if (error instanceof GuestLacksError) {
          await dispose()
          if (error instanceof GuestMissingError) task.meta.missing = error.message
          skip(error.message)
        }
        note(missing.length === 0 ? needs : missing, 'failed')
        // The failure matters more than what the case leaves behind.
        await dispose().catch(() => undefined)
        throw missing.length === 0 ? withPromise(error, title, needs) : error
      } finally {
        signal.removeEventListener('abort', interrupt)
      }
      if (shared === undefined) await trial.dispose()
      if (missing.length === 0) note(needs, 'offered')
      else note(missing, 'refused')
    })
  }

  test('an operation that the host does not offer is refused with NOT_SUPPORTED, and nothing is changed', async ({
    task,
  }) => {
    const trial = await Trial.open(host, { needsGuest: host.guest.missing === undefined })
    const missing = refusable.filter((capability) => !trial.server.capabilities.has(capability))
    task.meta.refused = missing
    try {
      await expectRefusal(trial, missing)
    } catch (error) {
      note(missing, 'failed')
      await trial.dispose().catch(() => undefined)
      throw error
    }
    await trial.dispose()
    note(missing, 'refused')
  })

  for (const subject of subjects) {
    const cases: Promised[] = []
    const casesInGuest: Promised[] = []
    allCases[subject]({
      host,
      promises: (...promise) => void cases.push(promise),
      promisesInGuest(title, needs, run, options) {
        casesInGuest.push([title, [...needs, 'agent'], async (trial) => run(await trial.vmWithAgent(), trial), options])
      },
    })
    // Vitest fails an empty group, and a host may have no case of the subject.
    if (cases.length > 0) {
      describe(subject, () => {
        for (const promise of cases) promises(undefined, ...promise)
      })
    }
    if (casesInGuest.length > 0) {
      describe(`${subject}, in one VM`, () => {
        const shared = new SharedTrial(host)
        afterAll(() => shared.dispose(), disposeTimeoutMs)
        for (const promise of casesInGuest) promises(shared, ...promise)
      })
    }
  }
  return record
}

/** The capabilities that the case needs on this host, and whether it needs a guest. */
function needsOn(
  { guest }: DescribedHost,
  needs: readonly Need[],
): { needs: readonly Capability[]; needsGuest: boolean } {
  const canRunBare = guest.missing !== undefined && guest.runsBare === true
  const talksToGuest = (need: Need): boolean => need === 'guest' || (need === 'running VM' && !canRunBare)
  return {
    needs: needs.flatMap((need) => {
      if (talksToGuest(need)) return guest.needs
      return need === 'guest' || need === 'agent' || need === 'running VM' ? [] : [need]
    }),
    needsGuest: needs.includes('agent') || needs.some(talksToGuest),
  }
}

/** Adds to the failure what the driver must do: an assertion alone shows only the difference. */
function withPromise(error: unknown, title: string, needs: readonly Capability[]): unknown {
  if (!(error instanceof Error)) return error
  const omit = needs.length === 0 ? '' : `, or leave out ${needs.join(' or ')} if the host can't do that`
  error.message += `\n\nThe driver must keep this promise${omit}: ${title}.`
  return error
}
