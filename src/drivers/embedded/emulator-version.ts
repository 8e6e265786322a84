import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import * as v from 'valibot'

let version: string | undefined

/** The version of v86: another one may not read the memory that this one saves. */
export function emulatorVersion(): string {
  version ??= v.parse(
    v.object({ version: v.string() }),
    JSON.parse(readFileSync(createRequire(import.meta.url).resolve('v86/package.json'), 'utf8')),
  ).version
  return version
}
