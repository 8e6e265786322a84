import type { GuestProgram } from '../../../guest/guest-way.js'
import { InvalidArgumentError } from '../../../errors.js'
import { bytesOf } from './messages.js'

/** The most that the guest program takes; Linux takes some 2 MiB of arguments and variables. */
const maxSpecBytes = 0x20_0000

const flag = { input: 1, pty: 2 } as const

/** The spec of a program in the form of guest-program/guest.h, after its length. */
export const programSpec = (
  { argv, env = {}, cwd = '', user = '', pty }: GuestProgram,
  hasInput: boolean,
): Uint8Array => {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  const texts = [user, cwd, ...argv, ...variables]
  const flags = (hasInput ? flag.input : 0) | (pty === undefined ? 0 : flag.pty)
  const head = bytesOf([flags, 4], [pty?.columns ?? 0, 2], [pty?.rows ?? 0, 2], [argv.length, 4], [variables.length, 4])
  const spec = Buffer.concat([head, Buffer.from(texts.map((text) => `${text}\0`).join(''))])
  if (spec.length > maxSpecBytes) {
    throw new InvalidArgumentError({
      path: 'command',
      reason: `the arguments and variables have ${String(spec.length)} bytes, and a guest takes ${String(maxSpecBytes)}`,
      hint: 'Give it much data as its standard input.',
    })
  }
  return Buffer.concat([bytesOf([spec.length, 4]), spec])
}
