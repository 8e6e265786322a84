import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose_gc')
const gc = runInNewContext('gc') as () => void

/** Collects garbage until the condition holds; gives up after many rounds. */
export async function collectUntil(isDone: () => boolean, rounds = 50): Promise<boolean> {
  for (let round = 0; round < rounds; round += 1) {
    gc()
    // Finalization callbacks run as tasks of their own.
    await setImmediate()
    if (isDone()) return true
  }
  return false
}

/** Bytes of the heap that are in use, with no garbage among them. */
export async function heapUsed(): Promise<number> {
  for (let round = 0; round < 4; round += 1) {
    gc()
    await setImmediate()
  }
  return process.memoryUsage().heapUsed
}
