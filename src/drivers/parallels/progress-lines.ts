import type { ProgressUpdate } from '../../driver.js'

/** The last progress in a piece of output: `Copying hard disk 1 ... 45 %`, `Operation progress ... 12%`. */
export function progressIn(output: string): ProgressUpdate | undefined {
  const lines = output.split(/[\r\n]+/)
  for (const line of lines.toReversed()) {
    const match = /^\s*(.{0,100}?)\s*\.{3}\s*(\d{1,3})\s*%/.exec(line)
    if (match === null) continue
    const [, phase = '', percent] = match
    return { percent: Math.min(99, Number(percent)), ...(phase !== '' && { phase: phase.toLowerCase() }) }
  }
  return undefined
}
