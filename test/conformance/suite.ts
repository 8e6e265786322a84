import type { Capability, ConnectOptions } from 'awaitvm'
import { describe, expect, test } from 'vitest'
import { allCases } from './cases.js'
import { recordCapabilities, type CapabilityRecord } from './capability-record.js'
import { differencesFromReadme } from './capability-table.js'
import { skipWithout, wantedHosts } from '../support/optional-tool.js'
import { GuestLacksError, GuestMissingError } from './guest.js'
import type { ConformanceHost } from './host.js'
import { expectRefusal, refusable } from './refusal.js'
import { Trial } from './trial.js'

interface CaseOptions {
  /** How the connection is made. */
  readonly connect?: ConnectOptions
  /** Where a host may need longer than for any other case. */
  readonly timeoutMs?: number
}

/**
 * What a case needs of a host; `'guest'`: whatever it takes there to talk to the guest; `'agent'`: a guest whose agent
 * answers, which the host may offer or not.
 */
export type Need = Capability | 'guest' | 'agent'

/** Cases are registered through this, once for each host. */
interface Conformance {
  readonly host: ConformanceHost
  /**
   * Checks one promise. Where the host lacks one of the capabilities, it is checked instead that it says so and changes
   * nothing.
   */
  promises(title: string, needs: readonly Need[], run: (trial: Trial) => Promise<void>, options?: CaseOptions): void
}

/** What a reader of the results is told of each. */
declare module 'vitest' {
  interface TaskMeta {
    /** What it needs of the host. */
    needs?: readonly Capability[]
    /** What of this the host does not offer: it was checked that it says so. */
    refused?: readonly Capability[]
  }
}

export type Cases = (conformance: Conformance) => void

/** Holds a host to every promise of the public API, or to those of some subjects. */
export function describeConformance(host: ConformanceHost, subjects?: readonly string[]): void {
  const scheme = host.name.split(':')[0]!
  const isRequired = wantedHosts !== undefined && (wantedHosts === 'all' || wantedHosts.split(',').includes(scheme))
  if (wantedHosts !== undefined && !isRequired) {
    describe.skip(`conformance of ${host.name}`, () => {
      test(`AWAITVM_TEST_HOSTS leaves it out`)
    })
  } else if (host.unavailable !== undefined) {
    const { unavailable } = host
    test(`conformance of ${host.name}`, (context) => {
      if (isRequired) throw new Error(unavailable)
      skipWithout(context, unavailable)
    })
  } else {
    describe(`conformance of ${host.name}`, () => {
      const record = checkAll(host, subjects)
      // What some subjects show is no whole column of the table.
      if (subjects !== undefined) return
      describe('the README', () => {
        test('tells the capabilities that were found', async ({ skip }) => {
          await recordCapabilities(host.name, record)
          const differences = await differencesFromReadme({ host: host.name, capabilities: record })
          if (differences === undefined) skip('there is no README with a table of capabilities')
          else expect(differences, 'run `npx tsx test/conformance/capability-table.ts`').toEqual([])
        })
      })
    })
  }
}

/** Makes a test of each case of the subjects, and answers what they will have found. */
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
    test(title, { meta: { needs }, ...(timeout !== undefined && { timeout }) }, async (context) => {
      const { task, skip, signal } = context
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
          if (error instanceof GuestMissingError) skipWithout(context, error.message)
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
