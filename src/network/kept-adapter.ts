import { randomBytes } from 'node:crypto'
import { NotSupportedError } from '../errors.js'
import type { AdapterNetwork, NetworkAdapterConfig, PortForward } from '../model/vm-config.js'

/** A port forward as a host keeps it. */
export interface KeptForward extends PortForward {
  readonly protocol: 'tcp' | 'udp'
  readonly hostAddress: string
  /** The port that was found when the VM ran last; only if `hostPort` is absent. */
  readonly foundHostPort?: number | undefined
}

/** An adapter as a host keeps it: complete but for the ports that are found at each start. */
export interface KeptAdapter extends NetworkAdapterConfig {
  readonly macAddress: string
  readonly network: AdapterNetwork
  readonly outbound: boolean
  readonly portForwards: readonly KeptForward[]
}

/** A random address. */
const newMacAddress = (): string => macAddressOf(randomBytes(3).toString('hex'))

/**
 * Applies an edit to adapters. An adapter without an address keeps that of the adapter in its place. A forward of the same guest
 * port keeps the port that was found for it.
 */
export function keepAdapters(
  wanted: readonly NetworkAdapterConfig[],
  present: readonly KeptAdapter[],
  makeMacAddress = newMacAddress,
): KeptAdapter[] {
  const taken = new Set(wanted.flatMap(({ macAddress }) => macAddress ?? []))
  const free = (candidate: string | undefined): string => {
    let address = candidate ?? makeMacAddress()
    while (taken.has(address)) address = makeMacAddress()
    taken.add(address)
    return address
  }
  return wanted.map(({ macAddress, network = 'user', outbound = false, portForwards = [], ...others }, index) => {
    const before = present[index]
    return {
      ...others,
      macAddress: macAddress ?? free(before?.macAddress),
      network,
      outbound,
      portForwards: keepForwards(portForwards, before?.portForwards ?? []),
    }
  })
}

function keepForwards(wanted: readonly PortForward[], present: readonly KeptForward[]): KeptForward[] {
  const left = [...present]
  return wanted.map(({ hostPort, protocol = 'tcp', hostAddress = '127.0.0.1', ...others }) => {
    const forward = { ...others, protocol, hostAddress }
    if (hostPort !== undefined) return { ...forward, hostPort }
    const index = left.findIndex(
      (other) =>
        other.guestPort === others.guestPort && other.protocol === protocol && other.hostAddress === hostAddress,
    )
    const [{ foundHostPort } = {}] = index < 0 ? [] : left.splice(index, 1)
    return { ...forward, ...(foundHostPort !== undefined && { foundHostPort }) }
  })
}

/** The adapters of a clone. They have other addresses than the original's, so that the two can be told apart. */
export const cloneAdapters = (adapters: readonly KeptAdapter[], makeMacAddress = newMacAddress): KeptAdapter[] =>
  keepAdapters(
    shownAdapters(adapters, false).map(({ macAddress: _macAddress, ...others }) => others),
    [],
    makeMacAddress,
  )

/**
 * Throws if an adapter is on a network that a clone with memory would be on, too: the guest would have the same MAC and IP addresses
 * as the original.
 */
export function refuseTwinOn(adapters: readonly KeptAdapter[]): void {
  const index = adapters.findIndex(({ network }) => network !== 'user')
  if (index < 0) return
  throw new NotSupportedError({
    capability: 'vm.clone.memory',
    path: `config.networkAdapters[${String(index)}].network`,
    reason: 'it has a network adapter on a private network or a bridge, where its clone would have the same addresses',
    hint: 'Clone it without memory, or give it a user network.',
  })
}

/**
 * The adapters of a clone that goes on from the memory of the original, in which their addresses are. Its forwards listen at other
 * ports of the host, which are found when it goes on: those of the original are taken.
 */
export const twinAdapters = (adapters: readonly KeptAdapter[]): KeptAdapter[] =>
  adapters.map((adapter) => ({
    ...adapter,
    portForwards: adapter.portForwards.map(
      ({ hostPort: _hostPort, foundHostPort: _foundHostPort, ...forward }) => forward,
    ),
  }))

/** The adapters as users see them; those of a running VM with the ports that were found. */
export const shownAdapters = (adapters: readonly KeptAdapter[], isRunning: boolean): NetworkAdapterConfig[] =>
  adapters.map(({ macAddress, network, outbound, portForwards }) => ({
    macAddress,
    network,
    ...(network === 'user' && {
      outbound,
      portForwards: portForwards.map(({ foundHostPort, ...forward }) => ({
        ...forward,
        ...(isRunning && foundHostPort !== undefined && { hostPort: foundHostPort }),
      })),
    }),
  }))

/** A locally administered address with QEMU's prefix; `digits` are six hexadecimal ones. */
export const macAddressOf = (digits: string): string =>
  `52:54:00:${digits.slice(0, 2)}:${digits.slice(2, 4)}:${digits.slice(4, 6)}`
