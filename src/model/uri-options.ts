import { InvalidArgumentError } from '../errors.js'

/** Throws if the query of a URI has an unknown option, or an option twice. */
export function requireKnownOptions(uri: URL, known: readonly string[], path: string): void {
  const seen = new Set<string>()
  for (const name of uri.searchParams.keys()) {
    const isKnown = known.includes(name)
    if (isKnown && !seen.has(name)) seen.add(name)
    else {
      throw new InvalidArgumentError({
        path,
        reason: `the URI has the option ${JSON.stringify(name)}${isKnown ? ' more than once' : ', which is not known'}`,
        hint: known.length === 0 ? `${uri.protocol} has no options.` : `Known are: ${known.join(', ')}.`,
      })
    }
  }
}
