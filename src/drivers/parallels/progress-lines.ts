import type { ProgressUpdate } from '../../model/host-job.js'

/**
 * The last progress in a piece of output: `Operation progress ... 12%`, or `Copying hard disk 2 ... 45 %` of one disk.
 */
export function progressIn(output: string, disks: number): ProgressUpdate | undefined {
  const lines = output.split(/[\r\n]+/)
  for (const line of lines.toReversed()) {
    const match = /^\s*(.{0,100}?)\s*\.{3}\s*(\d{1,3})\s*%/.exec(line)
    if (match === null) continue
    const [, phase = '', percent] = match
    const told = Math.min(100, Number(percent))
    const disk = Number(/ disk (\d{1,3})$/i.exec(phase)?.[1] ?? 0)
    const overall = disk > 0 ? (100 * (disk - 1) + told) / Math.max(disks, disk) : told
    return { percent: Math.min(99, overall), ...(phase !== '' && { phase: phase.toLowerCase() }) }
  }
  return undefined
}
