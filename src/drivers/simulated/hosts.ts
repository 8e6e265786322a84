import type { SimulatedHost } from './host.js'

/** The simulated hosts of this process, by the URIs that lead to them; a host that nobody holds any more is not kept. */
const hosts = new Map<string, WeakRef<SimulatedHost>>()

const forgotten = new FinalizationRegistry<string>((uri) => {
  if (hosts.get(uri)?.deref() === undefined) hosts.delete(uri)
})

export const findHost = (uri: string): SimulatedHost | undefined => hosts.get(uri)?.deref()

/** Makes the host known by a URI until the returned function is called. */
export function addHost(uri: string, host: SimulatedHost): () => void {
  const reference = new WeakRef(host)
  hosts.set(uri, reference)
  forgotten.register(host, uri, reference)
  return () => {
    forgotten.unregister(reference)
    if (hosts.get(uri) === reference) hosts.delete(uri)
  }
}
