import type { OperationCode } from '../../operations.js'
import type { Random } from './random.js'

/** Milliseconds: a fixed number, or `[least, most]` of a random one. */
export type Duration = number | readonly [number, number]

/** The time that operations take: one duration for all, or one for each operation that is named. Others take no time. */
export type Latency = Duration | Readonly<Partial<Record<OperationCode, Duration | undefined>>>

/** Draws the milliseconds of one call. */
export const drawDuration = (duration: Duration, random: Random): number => {
  if (typeof duration === 'number') return duration
  const [least, most] = duration
  return Math.round(least + random.fraction() * (most - least))
}

const isDuration = (latency: Latency): latency is Duration => typeof latency === 'number' || Array.isArray(latency)

/** The duration of an operation. */
export const latencyOf = (latency: Latency, operation: OperationCode): Duration =>
  isDuration(latency) ? latency : (latency[operation] ?? 0)
