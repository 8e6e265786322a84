import { readFileSync } from 'node:fs'
import { Script } from 'node:vm'
import type { V86 } from 'v86'
import type { EmulatorCode } from './emulator-code.js'

export type V86Constructor = typeof V86

interface EmulatorScript {
  readonly script: Script
  readonly V86: V86Constructor
}

let loaded: EmulatorScript | undefined

/**
 * v86, loaded as a script rather than imported: a script can use a code cache of V8, and a thread without imports does not
 * start Node's module loader, which is a fifth of the time to its first line.
 */
export function loadEmulatorScript({ scriptPath, codeCache }: EmulatorCode): V86Constructor {
  loaded ??= run(scriptPath, codeCache)
  return loaded.V86
}

/** The code cache of V8, for other threads. */
export function emulatorCodeCache(): Uint8Array | undefined {
  return loaded?.script.createCachedData()
}

function run(scriptPath: string, codeCache: Uint8Array | undefined): EmulatorScript {
  const script = new Script(`(function (module) {${readFileSync(scriptPath, 'utf8')}\n})`, {
    filename: scriptPath,
    ...(codeCache !== undefined && { cachedData: codeCache }),
  })
  const module: { exports: { V86?: V86Constructor } } = { exports: {} }
  const evaluate = script.runInThisContext() as (into: typeof module) => void
  evaluate(module)
  const { V86 } = module.exports
  if (V86 === undefined) throw new Error(`${scriptPath} is not the v86 that awaitvm was made for`)
  return { script, V86 }
}
