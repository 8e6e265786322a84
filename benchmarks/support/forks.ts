/** What is measured in the same way of clones with memory on both hosts. */
import type { Snapshot, Vm } from 'awaitvm'
import { askGuest, untilPrinted } from './question.js'

export interface Timed {
  readonly vms: readonly Vm[]
  /** Milliseconds until the last of the guests has answered. */
  readonly taken: number
}

export const cloneNames = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `clone-${String(index)}`)

export const timedClones = (golden: Vm, snapshot: Snapshot, count: number): Promise<Timed> =>
  timed(cloneNames(count), async (name) => {
    const vm = await golden.clone({ name, memory: true, snapshot }).unwrap()
    await askGuest(vm)
    return vm
  })

/** @param greeting what a guest prints when it has booted */
export const timedBoots = (vms: readonly Vm[], greeting: string): Promise<Timed> =>
  timed(vms, async (vm) => {
    await vm.start().unwrap()
    await untilPrinted(vm, greeting)
    return vm
  })

async function timed<T>(items: readonly T[], action: (item: T) => Promise<Vm>): Promise<Timed> {
  const start = performance.now()
  const vms = await Promise.all(items.map(action))
  return { vms, taken: performance.now() - start }
}
