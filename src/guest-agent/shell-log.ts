import { ProtocolError } from '../errors.js'

/** The shell of another client, or of this one. */
export interface ShellOfOther {
  readonly kind: 'other'
  readonly folder: string
  /** The process, and its connection to the host. */
  readonly client: string
  readonly connection: string
}

/** A line of the log of the shell in the guest: see shell-script.ts. */
export type ShellLine =
  | { readonly kind: 'ready'; readonly pid: number }
  | ShellOfOther
  | { readonly kind: 'begun'; readonly pid: number; readonly parent: number }
  | { readonly kind: 'missing'; readonly what: string }
  | { readonly kind: 'ended'; readonly code: number; readonly isSignalled: boolean; readonly where: string }
  | { readonly kind: 'output'; readonly stream: 'o' | 'e'; readonly file: number; readonly pid: number }
  | { readonly kind: 'full' }
  | { readonly kind: 'input'; readonly isClosed: boolean }
  | { readonly kind: 'sent'; readonly id: number; readonly isSent: boolean }

/** Longer than any line. */
const maxLineLength = 400

/** Cuts what is read of the log into lines, by the number of the program. */
export class ShellLog {
  #rest = ''

  push(bytes: Buffer): (readonly [number: number, line: ShellLine])[] {
    const lines = (this.#rest + bytes.toString('latin1')).split('\n')
    this.#rest = lines.pop() ?? ''
    if (this.#rest.length > maxLineLength) throw wrongLine(this.#rest)
    return lines.map((line) => {
      const [number = '', ...words] = line.slice(0, maxLineLength + 1).split(' ')
      const found = line.length <= maxLineLength && /^\d{1,15}$/.test(number) ? parse(words) : undefined
      if (found === undefined) throw wrongLine(line)
      return [Number(number), found]
    })
  }
}

function parse([kind, first = '', second = '', third = '']: readonly string[]): ShellLine | undefined {
  const numbers = [first, second].map((word) => (/^\d{1,15}$/.test(word) ? Number(word) : undefined))
  const [a, b] = numbers
  switch (kind) {
    case 'ready':
      return a === undefined ? undefined : { kind, pid: a }
    case 'begun':
      return a === undefined || b === undefined ? undefined : { kind, pid: a, parent: b }
    case 'other':
      return /^\/(?:run|tmp)\/awaitvm-[0-9a-f]{12}$/.test(first)
        ? { kind, folder: first, client: second, connection: third }
        : undefined
    case 'missing':
      return { kind, what: first }
    case 'ended':
      return a === undefined || b === undefined ? undefined : { kind, code: a, isSignalled: b === 1, where: third }
    case 'o':
    case 'e':
      return a === undefined || a > 1 || b === undefined ? undefined : { kind: 'output', stream: kind, file: a, pid: b }
    case 'full':
      return { kind }
    case 'i':
      return { kind: 'input', isClosed: first === 'closed' }
    case 'sent':
      return a === undefined || b === undefined ? undefined : { kind, id: a, isSent: b === 1 }
    default:
      return undefined
  }
}

const wrongLine = (line: string): ProtocolError =>
  new ProtocolError({
    reason: `the shell in the guest has written ${JSON.stringify(line.slice(0, maxLineLength))}, which means nothing`,
  })
