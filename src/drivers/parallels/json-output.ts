/**
 * The JSON in what prlctl printed, or `undefined` where there is none. The original puts progress and notices before it, and
 * leaves most control characters raw.
 */
export function jsonIn(output: string, kind: 'array' | 'object'): unknown {
  const [open, close] = kind === 'array' ? ['[', ']'] : ['{', '}']
  const from = output.indexOf(open)
  const to = output.lastIndexOf(close)
  if (from < 0 || to < from) return undefined
  try {
    return JSON.parse(withoutControls(output.slice(from, to + 1)))
  } catch {
    // It was cut off, or never was JSON: both are told by there being none.
    return undefined
  }
}

// eslint-disable-next-line no-control-regex
const withoutControls = (text: string): string => text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '')
