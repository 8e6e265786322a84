import { AsyncLocalStorage } from 'node:async_hooks'
import type { PassThrough } from 'node:stream'

/** The caller of a prlctl: its input, output and signals. */
export interface Terminal {
  readonly pid: number
  /** The machine whose guest called it, if any. */
  readonly machine: string
  readonly stdin: PassThrough
  /** Resolves once the client has written nearly all of it. */
  write(stream: 'stdout' | 'stderr', data: string | Buffer): Promise<void>
  /** True once the client has gone. */
  isGone(): boolean
  onSignal(listener: (signal: string) => void): void
}

export const terminals = new AsyncLocalStorage<Terminal>()

/** The terminal of the present command. */
export function terminal(): Terminal {
  const current = terminals.getStore()
  if (current === undefined) throw new Error('No command runs')
  return current
}

export const print = (text: string): void => {
  void terminal().write('stdout', text)
}
