import { isIPv4 } from 'node:net'
import * as v from 'valibot'
import { areDistinct, list, object, optional, portSchema, text, type EntriesOf } from './schema.js'
import type { NetworkAdapterConfig, PortForward } from './vm-config.js'

/** The lowest bit of the first byte marks a multicast address. */
const isOfOneAdapter = (address: string): boolean =>
  Number.parseInt(address.slice(0, 2), 16) % 2 === 0 && address !== '00:00:00:00:00:00'

export const macAddressSchema = v.pipe(
  text,
  v.regex(/^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i, 'must be six bytes in hexadecimal: "52:54:00:12:34:56"'),
  v.check(isOfOneAdapter, 'must be the address of one adapter'),
  v.toLowerCase(),
)

/** Checked because an address may become part of a command. */
export const hostAddressSchema = v.pipe(text, v.check(isIPv4, 'must be an IPv4 address'))

const portForward = object({
  guestPort: portSchema,
  hostPort: optional(portSchema),
  protocol: optional(v.picklist(['tcp', 'udp'], 'must be "tcp" or "udp"')),
  hostAddress: optional(hostAddressSchema),
} satisfies EntriesOf<PortForward>)

const networkAdapter = object({
  macAddress: optional(macAddressSchema),
  outbound: optional(v.boolean('must be true or false')),
  portForwards: optional(list(portForward, 64)),
} satisfies EntriesOf<NetworkAdapterConfig>)

export const networkAdaptersSchema = v.pipe(
  list(networkAdapter, 8),
  v.check(
    (adapters) => areDistinct(adapters.flatMap(({ macAddress: address }) => address ?? [])),
    'must not have the same macAddress twice',
  ),
  v.check(
    (adapters) =>
      areDistinct(
        adapters
          .flatMap(({ portForwards = [] }) => portForwards)
          .flatMap(({ hostPort, protocol = 'tcp', hostAddress = '127.0.0.1' }) =>
            hostPort === undefined ? [] : `${protocol} ${hostAddress} ${String(hostPort)}`,
          ),
      ),
    'must not have the same hostPort twice',
  ),
)
