import type { SimulatedHost } from './host.js'

/** The simulated hosts of this process by their URIs. A host that nothing else refers to is garbage collected. */
const hosts = new Map<string, WeakRef<SimulatedHost>>()

const forgotten = new FinalizationRegistry<string>((uri) => {
  if (hosts.get(uri)?.deref() === undefined) hosts.delete(uri)
})

export const findHost = (uri: string): SimulatedHost | undefined => hosts.get(uri)?.deref()

/** Makes {@link findHost} find the host by a URI until the returned function is called. */
export function addHost(uri: string, host: SimulatedHost): () => void {
  const reference = new WeakRef(host)
  hosts.set(uri, reference)
  forgotten.register(host, uri, reference)
  return () => {
    forgotten.unregister(reference)
    if (hosts.get(uri) === reference) hosts.delete(uri)
  }
}
