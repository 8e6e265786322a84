import { readFileSync, writeFileSync } from 'node:fs'

/**
 * Reads a file of some KB on a local disk. That takes some 20 µs; handing it to another thread, for each of opening, looking,
 * reading and closing, takes ten times as long.
 */
export const readSmallFile = (path: string): Promise<string> =>
  new Promise((resolve) => {
    resolve(readFileSync(path, 'utf8'))
  })

/** Makes a new file of some KB that only its owner reads; the same holds. */
export const writeSmallFile = (path: string, content: string | Uint8Array): Promise<void> =>
  new Promise((resolve) => {
    writeFileSync(path, content, { flag: 'wx', mode: 0o600 })
    resolve()
  })
