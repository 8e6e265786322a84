import { describe, test } from 'vitest'
import type { Capability } from '../../driver/driver.js'
import type { Conformance } from './case.js'
import { allCases } from './cases.js'
import { GuestLacksError, GuestMissingError } from './guest.js'
import type { ConformanceHost } from './host.js'
import { expectRefusal, refusable } from './refusal.js'
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

/** What the cases found of each capability: `'failed'` if a case that needs it did not pass. */
export type CapabilityRecord = Map<Capability, 'offered' | 'refused' | 'failed'>

/** Holds a host to every promise of the public API, or to those of some subjects. */
export function describeConformance(host: ConformanceHost, subjects?: readonly string[]): void {
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

/** Makes a test of each case of the subjects. The record is filled while they run. */
export function checkAll(host: ConformanceHost, subjects: readonly string[] = Object.keys(allCases)): CapabilityRecord {
  const record: CapabilityRecord = new Map()
  const note = (capabilities: readonly Capability[], outcome: 'offered' | 'refused' | 'failed'): void => {
    for (const capability of capabilities) {
      if (record.get(capability) !== 'failed') record.set(capability, outcome)
    }
  }

  const promises: Conformance['promises'] = (title, abstractNeeds, run, options) => {
    const needs = abstractNeeds.flatMap((need) => {
      if (need === 'guest') return host.guest.needs
      return need === 'agent' ? [] : [need]
    })
    const needsGuest = abstractNeeds.includes('guest') || abstractNeeds.includes('agent')
    const timeout = options?.timeoutMs
    test(title, { meta: { needs }, ...(timeout !== undefined && { timeout }) }, async ({ task, skip, signal }) => {
      if (needsGuest && host.guest.missing !== undefined) skip(host.guest.missing)
      const trial = await Trial.open(host, { needsGuest, connect: options?.connect })
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
      } catch (error) {
        if (error instanceof GuestLacksError) {
          await trial.dispose()
          if (error instanceof GuestMissingError) task.meta.missing = error.message
          skip(error.message)
        }
        note(missing.length === 0 ? needs : missing, 'failed')
        // What it leaves behind is of less interest than why it failed.
        await trial.dispose().catch(() => undefined)
        throw error
      } finally {
        signal.removeEventListener('abort', interrupt)
      }
      await trial.dispose()
      if (missing.length === 0) note(needs, 'offered')
      else note(missing, 'refused')
    })
  }

  test('what the host does not offer, it says so of, and nothing is changed', async ({ task }) => {
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
    const cases: Parameters<typeof promises>[] = []
    allCases[subject]?.({ host, promises: (...promise) => void cases.push(promise) })
    // A host may have none of them: Vitest takes an empty group for a mistake.
    if (cases.length === 0) continue
    describe(subject, () => {
      for (const promise of cases) promises(...promise)
    })
  }
  return record
}
