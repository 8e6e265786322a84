import { expect, test } from 'vitest'
import { SpareThread } from '../../../src/drivers/embedded/machine/spare-thread.js'

/** A thread that is ready when the test says so. */
class FakeThread {
  readonly exited: Promise<void>
  readonly ready: Promise<FakeThread>
  isEnded = false
  #exit: () => void = () => undefined
  #settle: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined

  constructor(signal: AbortSignal | undefined) {
    this.exited = new Promise((resolve) => {
      this.#exit = resolve
    })
    this.ready = new Promise((resolve, reject) => {
      this.#settle = { resolve: () => resolve(this), reject }
    })
    signal?.addEventListener('abort', () => {
      this.fail(signal.reason)
    })
  }

  load(): void {
    this.#settle?.resolve()
  }

  fail(error: unknown): void {
    this.#settle?.reject(error)
    this.isEnded = true
    this.#exit()
  }

  async terminate(): Promise<void> {
    this.isEnded = true
    this.#exit()
  }
}

function spares(): { readonly spare: SpareThread<FakeThread>; readonly threads: readonly FakeThread[] } {
  const threads: FakeThread[] = []
  const spare = new SpareThread((signal) => {
    const thread = new FakeThread(signal)
    threads.push(thread)
    return thread.ready
  })
  return { spare, threads }
}

test('the first user begins a thread, which the first machine gets when it is ready', async () => {
  const { spare, threads } = spares()
  spare.open()
  spare.open()
  const taken = spare.take()
  threads[0]?.load()
  expect(await taken).toBe(threads[0])
  expect(threads).toHaveLength(1)
  await spare.close()
  await spare.close()
  expect(threads[0]?.isEnded).toBe(false)
})

test('the last user does not wait for a thread that is not ready yet: it is ended', async () => {
  const { spare, threads } = spares()
  spare.open()
  spare.open()
  await spare.close()
  expect(threads[0]?.isEnded).toBe(false)
  await spare.close()
  expect(threads.map(({ isEnded }) => isEnded)).toEqual([true])
})

test('a thread that is ready is ended with the last user', async () => {
  const { spare, threads } = spares()
  spare.open()
  threads[0]?.load()
  await spare.ready()
  await spare.close()
  expect(threads.map(({ isEnded }) => isEnded)).toEqual([true])
})

test('a thread that did not start is told to who waits for it, and the next user gets another one', async () => {
  const { spare, threads } = spares()
  spare.open()
  const ready = spare.ready()
  threads[0]?.fail(new Error('no threads left'))
  await expect(ready).rejects.toThrow('no threads left')
  const taken = spare.take()
  threads[1]?.load()
  expect(await taken).toBe(threads[1])
  await spare.close()
})
