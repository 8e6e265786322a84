import { access, constants, stat } from 'node:fs/promises'
import { InvalidArgumentError } from '../errors.js'

/** Throws where the parameter `from` names no file that can be read; an empty one is as good as any. */
export async function requireFile(from: string): Promise<void> {
  try {
    await access(from, constants.R_OK)
    if ((await stat(from)).isFile()) return
  } catch (cause) {
    throw new InvalidArgumentError({ path: 'from', reason: `from is ${from}, which can't be read`, cause })
  }
  throw new InvalidArgumentError({ path: 'from', reason: `from is ${from}, which is no file` })
}
