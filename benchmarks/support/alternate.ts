/** Measures several things in turn, so that whatever else the machine does hits all of them alike. */

export interface Rounds {
  readonly rounds: number
  /** Rounds before these, whose samples are dropped. */
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

/** A side whose samples are the nanoseconds for one of the `count` that `work` does at once, over so many `times` of it. */
export const nanoseconds = (
  work: (count: number) => Promise<void>,
  count: number,
  times: number,
): (() => Promise<number>) => {
  const repeat = async (): Promise<void> => {
    for (let i = 0; i < times; i += 1) await work(count)
  }
  return async () => {
    // What the side before has left behind is not to be cleared away in this one's time: a first run takes it. A minor
    // collection leaves the young generation at the size that it has grown to.
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
