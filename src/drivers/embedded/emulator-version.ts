import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import * as v from 'valibot'

let version: string | undefined

/** The version of v86. Another version may not be able to read memory that this one has saved. */
export function emulatorVersion(): string {
  version ??= v.parse(
    v.object({ version: v.string() }),
    JSON.parse(readFileSync(createRequire(import.meta.url).resolve('v86/package.json'), 'utf8')),
  ).version
  return version
}
