import type { Server, Vm } from 'awaitvm'
import { serve, type ServeOptions } from 'awaitvm/testing'
import { FakeDriver, recordOf, type FakeOptions } from './fake-driver.js'

export interface FakeServer {
  readonly driver: FakeDriver
  readonly server: Server
  readonly vm: Vm
}

/** A server with a fake driver, and one of its VMs. */
export async function fakeServer(options: FakeOptions = {}, serveOptions?: ServeOptions): Promise<FakeServer> {
  const driver = new FakeDriver({
    ...options,
    answers: {
      'server.getVm': () => recordOf(),
      'server.createVm': ({ spec }) => recordOf(spec.name),
      'server.getJobs': () => [],
      ...options.answers,
    },
  })
  const server = serve(driver, 'fake:', serveOptions)
  const vm = await server.getVm('web-1').unwrap()
  driver.calls.length = 0
  return { driver, server, vm }
}
