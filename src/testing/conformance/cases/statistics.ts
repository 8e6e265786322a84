import { expect } from 'vitest'
import type { VmStatistics } from '../../../model/statistics.js'
import type { Cases } from '../case.js'

const counters = [
  'uptimeMs',
  'cpuTimeMs',
  'diskReadBytes',
  'diskWrittenBytes',
  'networkReceivedBytes',
  'networkSentBytes',
] as const

/** Asserts that no counter of the host has fallen. */
function expectNotLess(later: VmStatistics, earlier: VmStatistics): void {
  expect(later.takenAt.getTime()).toBeGreaterThanOrEqual(earlier.takenAt.getTime())
  for (const counter of counters) {
    const [before, after] = [earlier[counter], later[counter]]
    if (before === undefined || after === undefined) expect(after, counter).toBe(before)
    else expect(after, counter).toBeGreaterThanOrEqual(before)
  }
}

export const statistics: Cases = ({ promises }) => {
  promises(
    "statistics have the memory, and counters that grow with the guest's work",
    ['vm.getStatistics', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      const first = await vm.getStatistics().unwrap()
      expect(first.memoryMiB).toBe(vm.config.memoryMiB)
      expect(first.uptimeMs).toBeGreaterThan(0)
      await guest.writeDisk(1)
      await guest.readDisk()
      const second = await vm.getStatistics().unwrap()
      expectNotLess(second, first)
      expect(second.uptimeMs).toBeGreaterThan(first.uptimeMs)
      if (second.diskWrittenBytes !== undefined)
        expect(second.diskWrittenBytes - first.diskWrittenBytes!).toBeGreaterThanOrEqual(512)
      if (second.diskReadBytes !== undefined)
        expect(second.diskReadBytes - first.diskReadBytes!).toBeGreaterThanOrEqual(512)
    },
  )

  promises('a paused VM has statistics', ['vm.getStatistics', 'vm.pause', 'running VM'], async (trial) => {
    const vm = await trial.vmIn('paused')
    const first = await vm.getStatistics().unwrap()
    expectNotLess(await vm.getStatistics().unwrap(), first)
  })

  promises('watching statistics ends when the VM stops', ['vm.getStatistics', 'vm.stop', 'guest'], async (trial) => {
    const { vm } = await trial.runningVm()
    const seen: VmStatistics[] = []
    for await (const figures of vm.watchStatistics({ intervalMs: 20 })) {
      if (seen.length > 0) expectNotLess(figures, seen.at(-1)!)
      seen.push(figures)
      if (seen.length === 5) await vm.stop({ mode: 'kill' }).unwrap()
    }
    expect(seen).toHaveLength(5)
  })

  promises('watching statistics of a VM that does not run ends at once', ['vm.getStatistics'], async (trial) => {
    const vm = await trial.createVm()
    for await (const figures of vm.watchStatistics()) expect.fail(`It had ${JSON.stringify(figures)}`)
  })

  promises('watching statistics ends with an abort', ['vm.getStatistics', 'running VM'], async (trial) => {
    const vm = await trial.vmIn('running')
    const controller = new AbortController()
    const watch = async (): Promise<void> => {
      for await (const _figures of vm.watchStatistics({ intervalMs: 60_000, signal: controller.signal }))
        controller.abort()
    }
    await expect(watch()).rejects.toThrow()
    await trial.expectState(vm, 'running')
  })
}
