/** Measures several sides in turn, so that other load on the machine affects all of them alike. */

export interface Rounds {
  readonly rounds: number
  /** Rounds to warm up, whose samples are dropped. */
  readonly warmUps: number
}

/** Takes a sample of each side in every round. */
export async function alternate<K extends string>(
  sides: Readonly<Record<K, () => Promise<number>>>,
  { rounds, warmUps }: Rounds,
): Promise<Record<K, number[]>> {
  const names = Object.keys(sides) as K[]
  const samples = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<K, number[]>
  for (let round = -warmUps; round < rounds; round += 1) {
    for (const name of names) {
      const sample = await sides[name]()
      if (round >= 0) samples[name].push(sample)
    }
  }
  return samples
}

export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return ((sorted[Math.ceil(middle) - 1] ?? NaN) + (sorted[Math.floor(middle)] ?? NaN)) / 2
}

/** A side whose samples are nanoseconds per item: `work` handles `count` items, and runs `times` times for a sample. */
export const nanoseconds = (
  work: (count: number) => Promise<void>,
  count: number,
  times: number,
): (() => Promise<number>) => {
  const repeat = async (): Promise<void> => {
    for (let i = 0; i < times; i += 1) await work(count)
  }
  return async () => {
    // A first, untimed run collects the garbage of the side before. A minor
    // collection keeps the young generation at its size.
    await repeat()
    garbageCollector()({ type: 'minor' })
    const start = process.hrtime.bigint()
    await repeat()
    return Number(process.hrtime.bigint() - start) / (count * times)
  }
}

export function garbageCollector(): NodeJS.GCFunction {
  if (gc === undefined) throw new Error('Run it by npm run bench: it needs --expose-gc')
  return gc
}
