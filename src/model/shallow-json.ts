/** No record and no answer of a guest agent is a tenth as deep. */
const maxDepth = 100

const [quote, backslash, openArray, closeArray, openObject, closeObject] = Buffer.from('"\\[]{}')

/**
 * `JSON.parse` for text from a file or a guest that may be hostile. Some MiB of nested brackets keep the parser busy for seconds:
 * they are refused before.
 */
export function parseShallowJson(text: string): unknown {
  requireShallow(text)
  return JSON.parse(text)
}

function requireShallow(text: string): void {
  let depth = 0
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === quote) at = endOfString(text, at)
    else if (code === closeArray || code === closeObject) depth -= 1
    else if (code === openArray || code === openObject) {
      depth += 1
      if (depth > maxDepth) throw new SyntaxError(`it is nested more than ${String(maxDepth)} levels deep`)
    }
  }
}

/** The index of the quote that ends a string, or the end of a truncated text. */
function endOfString(text: string, start: number): number {
  let at = start + 1
  for (; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === quote) return at
    if (code === backslash) at += 1
  }
  return at
}
