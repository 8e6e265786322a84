import type { KeptForward } from '../../../network/kept-adapter.js'

/** A port that QEMU listens on, as `info usernet` tells. */
export interface OpenForward extends Pick<KeptForward, 'guestPort' | 'protocol' | 'hostAddress'> {
  /** The network's id. */
  readonly network: string
  readonly hostPort: number
}

const networkLine = /^Hub -?\d+ \((?<network>[\w.-]+)\):$/
/** `  TCP[HOST_FORWARD]  11       127.0.0.1 36875       10.0.2.15    22     0     0` */
const forwardLine =
  /^\s+(?<protocol>TCP|UDP)\[HOST_FORWARD\]\s+-?\d+\s+(?<host>\*|[\d.]{7,15})\s+(?<hostPort>\d{1,5})\s+(?:\*|[\d.]{7,15})\s+(?<guestPort>\d{1,5})\s/

/** The forwards in what QEMU's monitor for people says; lines of other kinds are passed over. */
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
