import * as v from 'valibot'
import { HostError, ProtocolError } from '../../../errors.js'
import type { KeptAdapter, KeptForward } from '../../../network/kept-adapter.js'
import { networkId } from './network-devices.js'
import { portRefusal } from './port-refusal.js'
import type { QmpClient } from '../protocol/qmp-client.js'
import { openForwardsIn } from './usernet.js'

/** A forward of the adapter with this network behind it. */
interface Placed {
  readonly network: string
  readonly forward: KeptForward
}

/**
 * Lets a QEMU whose guest has not run yet listen on the host's ports. Answers the adapters with the ports that were found: the
 * same list, where they are those of the last time.
 * @throws ResourceBusyError where a port that was asked for is taken
 */
export async function openForwards(
  client: QmpClient,
  adapters: readonly KeptAdapter[],
): Promise<readonly KeptAdapter[]> {
  const placed = adapters.flatMap(({ portForwards }, index) =>
    portForwards.map((forward) => ({ network: networkId(index), forward })),
  )
  const found = new Map<KeptForward, number>()
  // What is asked for goes first, and then what there was before: no port that is found by chance is in its way.
  for (const { network, forward } of placed) {
    if (forward.hostPort === undefined) continue
    if (!(await listen(client, { network, forward }, forward.hostPort)))
      throw await portRefusal(forward, forward.hostPort)
  }
  for (const { network, forward } of placed) {
    if (forward.foundHostPort === undefined) continue
    if (await listen(client, { network, forward }, forward.foundHostPort)) found.set(forward, forward.foundHostPort)
  }
  for (const { network, forward } of placed) {
    if (forward.hostPort !== undefined || found.has(forward)) continue
    found.set(forward, await listenAnywhere(client, { network, forward }))
  }
  const isAsBefore = placed.every(({ forward }) => found.get(forward) === forward.foundHostPort)
  return isAsBefore ? adapters : adapters.map((adapter) => withPorts(adapter, found))
}

const withPorts = (adapter: KeptAdapter, found: ReadonlyMap<KeptForward, number>): KeptAdapter => ({
  ...adapter,
  portForwards: adapter.portForwards.map((forward) => {
    const foundHostPort = found.get(forward)
    return foundHostPort === undefined ? forward : { ...forward, foundHostPort }
  }),
})

/** Listens on a port that the system picks. */
async function listenAnywhere(client: QmpClient, placed: Placed): Promise<number> {
  const before = await portsOf(client, placed)
  if (!(await listen(client, placed, 0))) throw await portRefusal(placed.forward, 0)
  const port = (await portsOf(client, placed)).find((candidate) => !before.includes(candidate))
  if (port === undefined) throw new ProtocolError({ reason: 'QEMU does not tell which port it listens on' })
  return port
}

async function portsOf(client: QmpClient, { network, forward }: Placed): Promise<number[]> {
  return openForwardsIn(await tell(client, 'info usernet'))
    .filter(
      (open) =>
        open.network === network &&
        open.protocol === forward.protocol &&
        open.hostAddress === forward.hostAddress &&
        open.guestPort === forward.guestPort,
    )
    .map(({ hostPort }) => hostPort)
}

/** Whether the port could be had. */
async function listen(client: QmpClient, { network, forward }: Placed, port: number): Promise<boolean> {
  const { protocol, hostAddress, guestPort } = forward
  const rule = `${protocol}:${hostAddress}:${String(port)}-:${String(guestPort)}`
  const said = (await tell(client, `hostfwd_add ${network} ${rule}`)).trim()
  if (said === '') return true
  if (said.startsWith('Could not set up host forwarding rule')) return false
  throw new HostError({ reason: said, native: { driver: 'qmp', message: said } })
}

/** Sends a line to the monitor for people, which answers failures like anything else. */
const tell = async (client: QmpClient, line: string): Promise<string> =>
  v.parse(v.string(), await client.execute('human-monitor-command', { 'command-line': line }))
