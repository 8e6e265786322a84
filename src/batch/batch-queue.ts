import PQueue from 'p-queue'

interface QueueOptions {
  readonly concurrency: number
  readonly perHostConcurrency: number | undefined
  readonly rateLimit: { readonly starts: number; readonly intervalMs: number } | undefined
}

/** Where a task stands in line. */
interface Place {
  readonly priority: number | undefined
  readonly host: unknown
}

/** Never rejects: the promises of p-queue's `add` are ignored, since `clear` leaves them pending. */
type Run = () => Promise<void>

/**
 * One p-queue for all tasks, and with a limit for each host one more for each host before it. A task that waits
 * for its host takes no place that another host could use.
 */
export class BatchQueue {
  readonly #all: PQueue
  readonly #perHost: number | undefined
  readonly #hosts = new Map<unknown, PQueue>()

  constructor({ concurrency, perHostConcurrency, rateLimit }: QueueOptions) {
    // `strict` is a sliding window: the limit holds for any interval of that length.
    const limited = rateLimit && { intervalCap: rateLimit.starts, interval: rateLimit.intervalMs, strict: true }
    this.#all = new PQueue({ concurrency, ...limited })
    this.#perHost = perHostConcurrency
  }

  add({ priority, host }: Place, run: Run): void {
    const options = priority === undefined ? undefined : { priority }
    if (this.#perHost === undefined) void this.#all.add(run, options)
    else void this.#queueOf(host, this.#perHost).add(() => this.#all.add(run, options), options)
  }

  /** Drops the tasks that have not begun. */
  clear(): void {
    for (const queue of this.#hosts.values()) queue.clear()
    this.#all.clear()
  }

  #queueOf(host: unknown, concurrency: number): PQueue {
    const known = this.#hosts.get(host)
    if (known !== undefined) return known
    const queue = new PQueue({ concurrency })
    // A long list can have a host for each item: keep only the queues in use.
    queue.on('idle', () => this.#hosts.delete(host))
    this.#hosts.set(host, queue)
    return queue
  }
}
