/**
 * The JSON in the output of prlctl, or `undefined` if there is none. prlctl prints progress and notices before it, and does not
 * escape most control characters.
 */
export function jsonIn(output: string, kind: 'array' | 'object'): unknown {
  const [open, close] = kind === 'array' ? ['[', ']'] : ['{', '}']
  const from = output.indexOf(open)
  const to = output.lastIndexOf(close)
  if (from < 0 || to < from) return undefined
  try {
    return JSON.parse(withoutControls(output.slice(from, to + 1)))
  } catch {
    // Cut off, or not JSON at all.
    return undefined
  }
}

// eslint-disable-next-line no-control-regex
const withoutControls = (text: string): string => text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '')
