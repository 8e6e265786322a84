import type { DriverOperations } from '../../driver/driver.js'
import type { ParallelsHost } from './parallels-host.js'
import { keyEvents } from './key-events.js'
import { argumentOf } from './vm-id.js'
import type { ParallelsWork } from './parallels-work.js'

/** Screenshots, which don't wait for changes of the VM, and keys, if this version of prlctl can send them. */
export const screenOperations = (host: ParallelsHost, work: ParallelsWork): DriverOperations => ({
  'vm.screenshot': ({ vm }, task) =>
    work.query(task, vm, async () => {
      await work.lookFirst(vm, task)
      const path = host.transport.temporaryPath('.png')
      try {
        await host.prlctl.change(['capture', argumentOf(vm), '--file', path])
      } catch (error) {
        await host.transport.removeFile(path)
        throw error
      }
      return await host.transport.takeFile(path)
    }),
  ...(host.prlctl.sendsKeys && {
    'vm.sendKeys': ({ vm, keys }, task) =>
      work.change(task, vm, async () => {
        const events = keyEvents(keys)
        if (events.length === 0) return
        await host.prlctl.change(['send-key-event', argumentOf(vm), '-j'], {
          input: Buffer.from(JSON.stringify(events)),
        })
      }),
  }),
})
