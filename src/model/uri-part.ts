import { InvalidArgumentError } from '../errors.js'

/**
 * A part of a URI, without its percent-encoding.
 *
 * @param name what it is, for errors: `user`. The part itself, which may be a password, is in none.
 */
export function decodedPart(part: string, name: string): string {
  try {
    return decodeURIComponent(part)
  } catch (cause) {
    throw new InvalidArgumentError({
      path: 'uri',
      reason: `its ${name} has a "%" that does not begin the code of a character`,
      hint: 'Write "%25" for a "%".',
      cause,
    })
  }
}
