import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { WasmModule } from './wasm-module.js'

/** v86 as it is given to a thread: its parts are compiled once, not by each thread. */
export interface EmulatorCode {
  readonly wasm: WasmModule
  /** v86's JavaScript, as a classic script. */
  readonly scriptPath: string
  /** V8's code cache of that script, once a first thread has run it. */
  readonly codeCache?: Uint8Array | undefined
  /** Whether this thread is to send the code cache. */
  readonly givesCodeCache?: boolean | undefined
}

let compiled: Promise<EmulatorCode> | undefined
let codeCache: Uint8Array | undefined
let isCodeCachePromised = false

/** v86's code, compiled once per process. */
export const emulatorCode = async (): Promise<EmulatorCode> => {
  compiled ??= compile().catch((error: unknown) => {
    compiled = undefined
    throw error
  })
  const givesCodeCache = !isCodeCachePromised
  isCodeCachePromised = true
  return { ...(await compiled), codeCache, givesCodeCache }
}

export const keepCodeCache = (bytes: Uint8Array): void => {
  codeCache = bytes
}

const compile = async (): Promise<EmulatorCode> => {
  const directory = dirname(createRequire(import.meta.url).resolve('v86'))
  const wasm = await WebAssembly.compile(await readFile(join(directory, 'v86.wasm')))
  return { wasm, scriptPath: join(directory, 'libv86.js') }
}
