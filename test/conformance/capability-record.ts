import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Capability } from 'awaitvm'
import type { CapabilityRecord } from '../../src/testing/conformance/suite.js'

export interface HostRecord {
  readonly host: string
  readonly capabilities: CapabilityRecord
}

const folder = join(import.meta.dirname, '../../coverage')

/** Writes what a run found to a file, for the table in the README. */
export async function recordCapabilities(host: string, capabilities: CapabilityRecord): Promise<void> {
  await mkdir(folder, { recursive: true })
  const slug = host
    .split(/\W+/)
    .filter((word) => word !== '')
    .join('-')
  await writeFile(
    join(folder, `conformance-${slug}.json`),
    JSON.stringify({ host, capabilities: [...capabilities] }, undefined, 2),
  )
}

/** What the last runs found, by host. */
export async function readCapabilityRecords(): Promise<HostRecord[]> {
  const files = (await readdir(folder)).filter((name) => /^conformance-.*\.json$/.test(name)).sort()
  const records = await Promise.all(
    files.map(async (file) => {
      const { host, capabilities } = JSON.parse(await readFile(join(folder, file), 'utf8')) as {
        host: string
        capabilities: [Capability, 'offered' | 'refused' | 'failed'][]
      }
      return { host, capabilities: new Map(capabilities) }
    }),
  )
  return records.sort((a, b) => (a.host < b.host ? -1 : 1))
}
