import type { NativeError } from '../vm-error.js'

/** Wraps an error of Node, a library or the system as the host's own words. */
export const nativeErrorOf = (driver: string, error: unknown): NativeError => {
  const message = error instanceof Error ? error.message : String(error)
  const code = errorCode(error)
  return { driver, ...(code !== undefined && { code }), message }
}

/** The code of an error of Node or of the system: `'ENOENT'`. */
export const errorCode = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
