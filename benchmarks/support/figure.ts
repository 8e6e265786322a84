/** The figures that benchmarks report, and their goals. */
import * as v from 'valibot'
import { median } from './alternate.js'
import { answer } from './child.js'

export const figuresSchema = v.array(
  v.object({
    name: v.string(),
    /** The median of all rounds. */
    value: v.number(),
    unit: v.string(),
    against: v.string(),
    /** The value divided by that of `against`: the median of the ratios within each round. */
    ratio: v.number(),
    goal: v.nullable(v.string()),
    ok: v.boolean(),
  }),
)

export type Figure = Readonly<v.InferOutput<typeof figuresSchema>[number]>

interface Goal {
  readonly text: string
  isMet(measured: { readonly value: number; readonly ratio: number }): boolean
}

export const ratioAtMost = (limit: number): Goal => ({
  text: `ratio at most ${limit}`,
  isMet: ({ ratio }) => ratio <= limit,
})

export const ratioAtLeast = (limit: number): Goal => ({
  text: `ratio at least ${limit}`,
  isMet: ({ ratio }) => ratio >= limit,
})

export const valueAtMost = (limit: number): Goal => ({
  text: `value at most ${limit}`,
  isMet: ({ value }) => value <= limit,
})

/** Compares two sides, each with a sample per round. */
export function compare<K extends string>(
  samples: Readonly<Record<K, readonly number[]>>,
  name: NoInfer<K>,
  against: NoInfer<K>,
  unit: string,
  goal?: Goal,
): Figure {
  const others = samples[against]
  const value = median(samples[name])
  const ratio = median(samples[name].map((sample, round) => sample / (others[round] ?? NaN)))
  return { name, value, unit, against, ratio, goal: goal?.text ?? null, ok: goal?.isMet({ value, ratio }) ?? true }
}

/** Sends the figures to the runner. */
export const report = (figures: readonly Figure[]): void => answer(figures)
