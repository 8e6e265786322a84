import type { DriverOperations } from '../../driver.js'
import type { ParallelsHost } from './host.js'
import { argumentOf } from './vm-id.js'
import { expectedStates, type VmWork } from './vm-work.js'

/** Pictures of a VM's screen; they get in the way of nothing. */
export const screenOperations = (host: ParallelsHost, work: VmWork): DriverOperations => ({
  'vm.screenshot': ({ vm }, task) =>
    work.guard({ operation: task.operation, vm, isQuery: true, expected: expectedStates(task) }, async () => {
      await work.lookFirst(vm, expectedStates(task))
      const path = host.transport.temporaryPath('.png')
      try {
        await host.prlctl.change(['capture', argumentOf(vm), '--file', path])
      } catch (error) {
        await host.transport.removeFile(path)
        throw error
      }
      return await host.transport.takeFile(path)
    }),
})
