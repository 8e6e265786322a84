import { isIPv4 } from 'node:net'
import * as v from 'valibot'
import { areDistinct, flag, list, object, optional, plainText, portSchema, text, type EntriesOf } from './schema.js'
import type { AdapterNetwork, NetworkAdapterConfig, PortForward } from './vm-config.js'

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
export const hostAddressSchema = v.pipe(
  text,
  v.check(isIPv4, 'must be an IPv4 address: hosts forward no ports by IPv6'),
)

const networkName = v.pipe(
  plainText,
  v.check((name) => name.trim() !== '', 'must not be empty'),
  v.maxLength(64, 'must have at most 64 characters'),
)

/** The name of an interface of Linux, which becomes a part of a path and of a command. */
const interfaceName = v.pipe(
  text,
  v.regex(/^(?!\.\.?$)[\w.-]{1,15}$/, 'must be the name of a bridge: at most 15 letters, digits, ".", "_" and "-"'),
)

const user = v.literal('user', 'must be "user", { private: NAME }, { bridge: NAME } or { hostNetwork: NAME }')
const privateNetwork = object({ private: networkName })
const bridge = object({ bridge: interfaceName })
const hostNetwork = object({ hostNetwork: networkName })

/** Not a union, whose errors would not name the part that is wrong. */
export const adapterNetworkSchema: v.GenericSchema<unknown, AdapterNetwork> = v.lazy((network) => {
  if (typeof network !== 'object' || network === null) return user
  if ('bridge' in network) return bridge
  return 'hostNetwork' in network ? hostNetwork : privateNetwork
})

const portForward = object({
  guestPort: portSchema,
  hostPort: optional(portSchema),
  protocol: optional(v.picklist(['tcp', 'udp'], 'must be "tcp" or "udp"')),
  hostAddress: optional(hostAddressSchema),
} satisfies EntriesOf<PortForward>)

const isOfUser = ({ network = 'user' }: NetworkAdapterConfig): boolean => network === 'user'

const networkAdapter = v.pipe(
  object({
    macAddress: optional(macAddressSchema),
    network: optional(adapterNetworkSchema),
    outbound: flag,
    portForwards: optional(list(portForward, 64)),
  } satisfies EntriesOf<NetworkAdapterConfig>),
  v.forward(
    v.check(
      (adapter) => isOfUser(adapter) || adapter.outbound !== true,
      'can be true with network: "user" only: elsewhere, the network decides what the guest reaches',
    ),
    ['outbound'],
  ),
  v.forward(
    v.check(
      (adapter) => isOfUser(adapter) || (adapter.portForwards ?? []).length === 0,
      'must be empty unless network is "user": the host forwards nothing to other networks',
    ),
    ['portForwards'],
  ),
)

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
