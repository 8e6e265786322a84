import type { Server, ServeOptions } from 'awaitvm'
import type { Driver } from 'awaitvm/driver'
import { serve } from 'awaitvm/testing'
import { SimulatedDriver } from '../../src/drivers/simulated/driver.js'
import { SimulatedHost } from '../../src/drivers/simulated/host.js'
import { RealClock } from '../../src/drivers/simulated/real-clock.js'
import { GuestUnavailableError, InvalidStateError } from '../../src/errors.js'
import { guestOperations } from '../../src/guest/guest-operations.js'
import type { GuestWay } from '../../src/guest/guest-way.js'

/**
 * A simulated host whose guests are this machine, by the driver kit's operations in guests. A VM with a kernel has no guest.
 *
 * @param wayInto how programs run on this machine
 */
export function serverWithMachineGuests(wayInto: (vm: string) => GuestWay, options?: ServeOptions): Server {
  const host = new SimulatedHost({
    uri: 'machine:',
    seed: 1,
    clock: new RealClock(),
    latency: 0,
    faults: [],
    maxCalls: 0,
    files: 'assumed',
    hasAgent: () => true,
    // Programs have no token.
    without: new Set(['server.attachJob']),
  })
  const inner = new SimulatedDriver(host)
  const driver: Driver = {
    name: 'machine',
    features: inner.features,
    maxConcurrentOperations: inner.maxConcurrentOperations,
    operations: {
      ...inner.operations,
      ...guestOperations({
        async use(vm, _task, action) {
          const { state, config } = host.store.require(vm)
          if (state !== 'running')
            throw new InvalidStateError({ reason: `it is ${state}`, state, expected: ['running'] })
          if (config.boot.kernel !== undefined) {
            throw new GuestUnavailableError({ reason: 'there is no guest', hint: 'Boot one.', retryable: true })
          }
          return await action(wayInto(vm))
        },
      }),
    },
    subscribe: (listener) => inner.subscribe(listener),
    close: () => inner.close(),
  }
  return serve(driver, host.uri, options)
}
