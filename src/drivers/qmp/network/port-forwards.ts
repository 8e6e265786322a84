import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, Server } from 'node:net'
import * as v from 'valibot'
import { errorCode, nativeErrorOf } from '../../../errors/native.js'
import { HostError, PermissionDeniedError, ProtocolError, ResourceBusyError, type VmError } from '../../../errors.js'
import type { KeptAdapter, KeptForward } from '../../../network/kept-adapter.js'
import type { QmpClient } from '../protocol/qmp-client.js'
import { networkId } from './network-devices.js'

/** A forward, and the network of its adapter. */
interface Placed {
  readonly network: string
  readonly forward: KeptForward
}

/**
 * Lets a QEMU whose guest has not run yet listen on the host's ports. Returns the adapters with the ports that were found; the same
 * object if these have not changed.
 * @throws ResourceBusyError if a requested port is taken
 */
export async function openForwards(
  client: QmpClient,
  adapters: readonly KeptAdapter[],
): Promise<readonly KeptAdapter[]> {
  const placed = adapters.flatMap(({ portForwards }, index) =>
    portForwards.map((forward) => ({ network: networkId(index), forward })),
  )
  const found = new Map<KeptForward, number>()
  // Requested ports go first, then those found last time, so that no newly found port takes one of them.
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

/** False if the port is not available. */
async function listen(client: QmpClient, { network, forward }: Placed, port: number): Promise<boolean> {
  const { protocol, hostAddress, guestPort } = forward
  const rule = `${protocol}:${hostAddress}:${String(port)}-:${String(guestPort)}`
  const said = (await tell(client, `hostfwd_add ${network} ${rule}`)).trim()
  if (said === '') return true
  if (said.startsWith('Could not set up host forwarding rule')) return false
  throw new HostError({ reason: said, native: { driver: 'qmp', message: said } })
}

/** Sends a line to QEMU's human monitor, which returns errors as text. */
const tell = async (client: QmpClient, line: string): Promise<string> =>
  v.parse(v.string(), await client.execute('human-monitor-command', { 'command-line': line }))

/** A port that QEMU listens on, by `info usernet`. */
interface OpenForward extends Pick<KeptForward, 'guestPort' | 'protocol' | 'hostAddress'> {
  /** The network's id. */
  readonly network: string
  readonly hostPort: number
}

const networkLine = /^Hub -?\d+ \((?<network>[\w.-]+)\):$/
/** `  TCP[HOST_FORWARD]  11       127.0.0.1 36875       10.0.2.15    22     0     0` */
const forwardLine =
  /^\s+(?<protocol>TCP|UDP)\[HOST_FORWARD\]\s+-?\d+\s+(?<host>\*|[\d.]{7,15})\s+(?<hostPort>\d{1,5})\s+(?:\*|[\d.]{7,15})\s+(?<guestPort>\d{1,5})\s/

/** The forwards in the output of `info usernet`; other lines are ignored. */
export function openForwardsIn(text: string): OpenForward[] {
  const forwards: OpenForward[] = []
  let network: string | undefined
  for (const line of text.split(/\r?\n/)) {
    network = networkLine.exec(line)?.groups?.['network'] ?? network
    const { protocol, host, hostPort, guestPort } = forwardLine.exec(line)?.groups ?? {}
    if (network === undefined || host === undefined) continue
    forwards.push({
      network,
      protocol: protocol === 'UDP' ? 'udp' : 'tcp',
      hostAddress: host === '*' ? '0.0.0.0' : host,
      hostPort: Number(hostPort),
      guestPort: Number(guestPort),
    })
  }
  return forwards
}

/** Finds out why QEMU could not listen on a port, which it does not tell, by trying the same. */
async function portRefusal({ protocol, hostAddress }: KeptForward, port: number): Promise<VmError> {
  const cause = await failureToListen(protocol, hostAddress, port)
  const where = `${port === 0 ? 'a' : 'the'} ${protocol} port ${port === 0 ? '' : `${String(port)} `}of ${hostAddress}`
  const native = nativeErrorOf('qmp', cause ?? `Could not listen on ${where}`)
  switch (errorCode(cause)) {
    case 'EACCES':
      return new PermissionDeniedError({
        reason: `${where} may not be listened on`,
        hint: 'Ports below 1024 are for privileged users: choose another hostPort, or leave it out to have a free one.',
        native,
        cause,
      })
    case 'EADDRINUSE':
    case undefined:
      return new ResourceBusyError({
        reason: `${where} is taken`,
        hint: 'Choose another hostPort, or leave it out to have a free one.',
        native,
        cause,
      })
    default:
      return new HostError({
        reason: `${where} can't be listened on: ${native.message}`,
        hint: 'The hostAddress must be one of this computer.',
        native,
        cause,
      })
  }
}

async function failureToListen(protocol: 'tcp' | 'udp', address: string, port: number): Promise<unknown> {
  const socket = protocol === 'tcp' ? createServer() : createSocket('udp4')
  try {
    if (socket instanceof Server) socket.listen({ port, host: address })
    else socket.bind({ port, address })
    await once(socket, 'listening')
    return undefined
  } catch (error) {
    return error
  } finally {
    socket.close()
  }
}
