import type { GuestProgram } from '../guest/guest-way.js'
import { requireVariableNames } from '../guest/refusals.js'
import { quoteWords } from '../ssh/quote.js'

/** The folder and the variables, and the program with its arguments, as words of the shell. */
export function commandOf({ argv, env = {}, cwd = '' }: GuestProgram): {
  readonly head: string
  readonly argv: string
} {
  requireVariableNames(env)
  const variables = Object.entries(env)
  const exports = variables
    .filter(([name]) => isIdentifier(name))
    .map(([name, value]) => `export ${name}=${quoteWords([value])};`)
  const others = variables.filter(([name]) => !isIdentifier(name)).map(([name, value]) => `${name}=${value}`)
  const words = others.length === 0 ? argv : ['env', ...others, ...argv]
  return { head: quoteWords([cwd, exports.join(' ')]), argv: quoteWords(words) }
}

const isIdentifier = (name: string): boolean => /^[A-Za-z_]\w*$/.test(name)
