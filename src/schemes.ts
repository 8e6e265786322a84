import type { Driver } from './driver/driver.js'
import { checkedDriver } from './driver/checked-driver.js'
import type { Task } from './driver/task.js'
import { AlreadyExistsError, InvalidArgumentError } from './errors.js'

/**
 * Opens a connection to the host that a URI names.
 *
 * @param url as it was given to `connect`, with its credentials
 * @param task the job of `connect`: aborted when the caller cancels it or its time is over
 */
export type OpenDriver = (url: URL, task: Task) => Promise<Driver>

/** What opens a host, by the scheme of its URI. A driver of awaitvm is loaded when it is used first. */
const schemes = new Map<string, () => Promise<OpenDriver>>([
  ['embedded', async () => (await import('./drivers/embedded/open.js')).openEmbedded],
  ['qmp', async () => (await import('./drivers/qmp/open.js')).openQmp],
  ['parallels', async () => (await import('./drivers/parallels/open.js')).openParallels],
  ['parallels+ssh', async () => (await import('./drivers/parallels/open.js')).openParallels],
  ...['qemu', 'test'].flatMap((hypervisor) =>
    ['', '+unix', '+tcp', '+tls', '+ssh', '+ext'].map((transport): [string, () => Promise<OpenDriver>] => [
      `${hypervisor}${transport}`,
      async () => (await import('./drivers/libvirt/open.js')).openLibvirt,
    ]),
  ),
])

/** What is opened for exactly this URI instead of the host that it names. */
const interceptions = new Map<string, () => Promise<OpenDriver>>()

/** What loads the driver for a valid URI; absent if there is none for its scheme. */
export const loaderOf = (uri: string): (() => Promise<OpenDriver>) | undefined =>
  interceptions.get(uri) ?? schemes.get(schemeOf(uri))

/** All schemes at present: `embedded`, `qmp`, ... */
export const knownSchemes = (): readonly string[] => [...schemes.keys()]

/**
 * Makes `connect` open URIs of a scheme of your own, in this process, until the returned object is disposed of; connections that
 * are open then stay open.
 *
 * @param scheme without the colon, in lower case: `'mine'`, `'mine+ssh'`
 * @param open is called for each `connect`; a `VmError` that it throws ends the job of `connect`, and any other error becomes a
 *   `HostError`. The driver is checked, and so are its answers: one that is wrong ends its job with a `ProtocolError`.
 * @throws an {@link InvalidArgumentError} if a parameter is wrong, an {@link AlreadyExistsError} if the scheme is taken, as those of
 *   awaitvm's own drivers are
 * @example
 * ```ts
 * import { connect } from 'awaitvm'
 * import { registerDriver, type Driver } from 'awaitvm/driver'
 *
 * declare function openMine(host: string, signal: AbortSignal): Promise<Driver>
 *
 * registerDriver('mine', (url, task) => openMine(url.host, task.signal))
 * await using server = await connect('mine://host').unwrap()
 * ```
 */
export function registerDriver(scheme: string, open: OpenDriver): Disposable {
  const wrong = (path: string, reason: string): InvalidArgumentError => new InvalidArgumentError({ path, reason })
  if (typeof scheme !== 'string' || !/^[a-z][a-z0-9+.-]*$/.test(scheme)) {
    throw wrong('scheme', 'scheme must be a lower-case letter, followed by such letters, digits, "+", "." and "-"')
  }
  if (typeof open !== 'function') throw wrong('open', 'open must be a function')
  const openChecked: OpenDriver = async (url, task) => checkedDriver(await open(url, task))
  if (schemes.has(scheme)) {
    throw new AlreadyExistsError({
      reason: `there is a driver for the scheme "${scheme}" already`,
      hint: 'Choose another scheme, or dispose of the registration of that one first.',
    })
  }
  return { [Symbol.dispose]: put(schemes, scheme, openChecked) }
}

/**
 * Makes `connect` open something else for exactly this URI, until the returned function is called.
 *
 * @throws if it is not a URI, or is intercepted already
 */
export function intercept(uri: string, open: OpenDriver): () => void {
  if (!URL.canParse(uri)) throw new InvalidArgumentError({ path: 'uri', reason: `${JSON.stringify(uri)} is not a URI` })
  if (interceptions.has(uri)) {
    throw new AlreadyExistsError({
      reason: `the URI ${JSON.stringify(uri)} is intercepted already`,
      hint: 'Dispose of the interception that is there first.',
    })
  }
  return put(interceptions, uri, open)
}

/** Puts an entry into one of the tables; the returned function takes it out, and leaves a later one of the same key alone. */
function put(table: Map<string, () => Promise<OpenDriver>>, key: string, open: OpenDriver): () => void {
  const load = (): Promise<OpenDriver> => Promise.resolve(open)
  table.set(key, load)
  return () => {
    if (table.get(key) === load) table.delete(key)
  }
}

const schemeOf = (uri: string): string => new URL(uri).protocol.slice(0, -1)
