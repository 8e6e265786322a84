import { AsyncLocalStorage } from 'node:async_hooks'
import type { PassThrough } from 'node:stream'

/** What one prlctl has of its caller: input, output, signals, and whether it is still there. */
export interface Terminal {
  readonly pid: number
  /** The machine inside of which it was called, if any. */
  readonly machine: string
  readonly stdin: PassThrough
  write(stream: 'stdout' | 'stderr', data: string | Buffer): void
  /** Whether the client is there no more. */
  isGone(): boolean
  onSignal(listener: (signal: string) => void): void
}

export const terminals = new AsyncLocalStorage<Terminal>()

/** The terminal of the command that runs. */
export function terminal(): Terminal {
  const current = terminals.getStore()
  if (current === undefined) throw new Error('No command runs')
  return current
}

export const print = (text: string): void => {
  terminal().write('stdout', text)
}
