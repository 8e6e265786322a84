import type { OperationCode } from '../../operations.js'
import type { Random } from './random.js'

/** Milliseconds: always the same, or from the first to the second. */
export type Duration = number | readonly [number, number]

/** How long operations take: all the same, or each its own, the others none. */
export type Latency = Duration | Readonly<Partial<Record<OperationCode, Duration | undefined>>>

/** The milliseconds of one call. */
export const drawDuration = (duration: Duration, random: Random): number => {
  if (typeof duration === 'number') return duration
  const [least, most] = duration
  return Math.round(least + random.fraction() * (most - least))
}

const isDuration = (latency: Latency): latency is Duration => typeof latency === 'number' || Array.isArray(latency)

/** How long an operation takes, before chance has its say. */
export const latencyOf = (latency: Latency, operation: OperationCode): Duration =>
  isDuration(latency) ? latency : (latency[operation] ?? 0)
