import type { Progress } from '../index.js'
import type { Page } from './page.js'

/** A VM's name, and the progress of its job. */
interface Row {
  readonly name: string
  readonly progress: Progress
}

/** Draws the rows. Called repeatedly with the same rows, the last time with `isLast`. */
type ProgressBoard = (rows: readonly Row[], isLast?: boolean) => void

export const progressBoard = (page: Page): ProgressBoard => (page.isLive ? liveBoard(page) : plainBoard(page))

const maxBarWidth = 30
const percentOf = ({ progress }: Row): string => `${progress.percent.toFixed(0)} %`.padStart(5)

/** One bar for each row, redrawn in place. */
function liveBoard(page: Page): ProgressBoard {
  const up = (lines: number): string => (lines === 0 ? '' : `\u001b[${lines}A`)
  const clearLine = '\u001b[2K\r'
  let drawn = 0

  const line = (row: Row): string => {
    const { percent, phase = '' } = row.progress
    const isDone = percent === 100
    const start = `   ${row.name}  `
    // A wrapped line would take two rows, and the next redraw would start too low.
    const room = Math.max(0, page.columns - start.length - ' 100 %  '.length - 1)
    const barWidth = Math.min(maxBarWidth, room)
    const filled = Math.round((percent / 100) * barWidth)
    const bar =
      page.style(isDone ? 'green' : 'cyan', '━'.repeat(filled)) + page.style('dim', '─'.repeat(barWidth - filled))
    const what = page.style('dim', (isDone ? 'done' : phase).slice(0, room - barWidth))
    return `${start}${bar} ${percentOf(row)}  ${what}`
  }

  return (rows) => {
    // One write, to avoid flicker.
    page.write(up(drawn) + rows.map((row) => `${clearLine}${line(row)}\n`).join(''))
    drawn = rows.length
  }
}

/** One line at an interval, with a column for each row. */
function plainBoard(page: Page): ProgressBoard {
  const intervalMs = 100
  const startedAt = performance.now()
  let shownAt = -Infinity
  let shown = ''

  const columns = (rows: readonly Row[], textOf: (row: Row) => string): string =>
    rows.map((row) => textOf(row).padStart(Math.max(row.name.length, 5) + 2)).join('')
  const say = (time: string, line: string): void => {
    page.say(time.padStart(6) + line)
  }

  return (rows, isLast = false) => {
    const now = performance.now()
    const line = columns(rows, percentOf)
    if (line === shown || (!isLast && now - shownAt < intervalMs)) return
    if (shown === '')
      say(
        '',
        columns(rows, ({ name }) => name),
      )
    say(`${((now - startedAt) / 1000).toFixed(1)} s`, line)
    shownAt = now
    shown = line
  }
}
