import type { VmError } from '../errors.js'
import type { JobCore } from './job-core.js'
import type { Progress } from './progress.js'

type Step = IteratorResult<Progress, undefined>

const end: Step = { done: true, value: undefined }

/** Yields the latest progress: a loop that is slower than the job skips some, so that nothing piles up. */
export function progressIterator(core: JobCore<unknown, VmError>): AsyncIterator<Progress, undefined> {
  let isFresh = true
  let readers: ((step: Step) => void)[] = []
  const finish = (): void => {
    for (const reader of readers) reader(end)
    readers = []
  }
  const unlisten = core.listen({
    onProgress(value) {
      const reader = readers.shift()
      if (reader === undefined) isFresh = true
      else reader({ done: false, value })
    },
    onSettled: finish,
  })
  let isOver = false
  return {
    next() {
      if (isFresh) {
        isFresh = false
        return Promise.resolve({ done: false, value: core.progress })
      }
      if (isOver || core.isSettled) return Promise.resolve(end)
      return new Promise((resolve) => readers.push(resolve))
    },
    return() {
      isOver = true
      isFresh = false
      unlisten()
      finish()
      return Promise.resolve(end)
    },
  }
}
