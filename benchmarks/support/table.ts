/** Figures as a table for people. */
import type { Figure } from './figure.js'

export function table(figures: readonly Figure[]): string {
  const rows = [
    ['', 'value', 'against', 'ratio', 'goal', ''],
    ...figures.map(({ name, value, unit, against, ratio, goal, ok }) => [
      name,
      `${round(value)} ${unit}`,
      against,
      round(ratio),
      goal ?? '',
      goal === null ? '' : ok ? 'met' : 'MISSED',
    ]),
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

const round = (number: number): string =>
  number.toLocaleString('en', { maximumSignificantDigits: 3, useGrouping: true })
