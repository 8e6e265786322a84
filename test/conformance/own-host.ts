import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ConformanceHost, Subject } from 'awaitvm/testing/conformance'
import { afterAll, describe, expect, test } from 'vitest'
import { schemeOf } from '../../src/testing/conformance/host.js'
import { checkAll, describeConformance } from '../../src/testing/conformance/suite.js'
import { wantedHosts } from '../support/optional-tool.js'
import { recordCapabilities } from './capability-record.js'
import { capabilities, differencesFromReadme } from './capability-table.js'

/** A cache of images of this run's own. */
function useOwnCache(): void {
  const folder = mkdtempSync(join(tmpdir(), 'awaitvm-cache-'))
  process.env['AWAITVM_CACHE'] = folder
  afterAll(() => rm(folder, { recursive: true, force: true }))
}

/**
 * Conformance of one of awaitvm's own hosts, as `AWAITVM_TEST_HOSTS` wants it: the part of the name before the colon
 * selects the host. What is found must be what the README's table of capabilities says.
 */
export function describeOwnHost(host: ConformanceHost, subjects?: readonly Subject[]): void {
  useOwnCache()
  const { name, unavailable } = host
  const isRequired =
    wantedHosts !== undefined && (wantedHosts === 'all' || wantedHosts.split(',').includes(schemeOf(host)))
  if (wantedHosts !== undefined && !isRequired) {
    describe.skip(`conformance of ${name}`, () => {
      test(`AWAITVM_TEST_HOSTS leaves it out`)
    })
  } else if (unavailable !== undefined && isRequired) {
    test(`conformance of ${name}`, () => {
      throw new Error(unavailable)
    })
  } else if (unavailable !== undefined || subjects !== undefined) {
    // A run of some subjects does not fill a column of the table.
    describeConformance(host, subjects)
  } else {
    describe(`conformance of ${name}`, () => {
      const record = checkAll(host)
      test('each capability has a case', () => {
        expect(capabilities.filter((capability) => !record.has(capability))).toEqual([])
      })
      describe('the README', () => {
        test('tells the capabilities that were found', async ({ skip }) => {
          await recordCapabilities(name, record)
          const differences = await differencesFromReadme({ host: name, capabilities: record })
          if (differences === undefined) skip('there is no README with a table of capabilities')
          else expect(differences, 'run `npx tsx test/conformance/capability-table.ts`').toEqual([])
        })
      })
    })
  }
}
