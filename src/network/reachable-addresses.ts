import { BlockList, isIP } from 'node:net'
import type { NetworkAddress } from '../model/network-address.js'

/** Addresses that are valid only in the guest or on its link: loopback, link-local and unspecified ones. */
const unreachable = new BlockList()
unreachable.addSubnet('0.0.0.0', 8, 'ipv4')
unreachable.addSubnet('127.0.0.0', 8, 'ipv4')
unreachable.addSubnet('169.254.0.0', 16, 'ipv4')
unreachable.addSubnet('::', 127, 'ipv6')
unreachable.addSubnet('fe80::', 10, 'ipv6')

/** The addresses by which others may reach a guest: IPv4 first, otherwise in the guest's order. */
export const reachableAddresses = (told: readonly NetworkAddress[]): NetworkAddress[] =>
  told.filter(isReachable).sort((a, b) => isIP(a.address) - isIP(b.address))

function isReachable({ address, family }: NetworkAddress): boolean {
  const [bare = ''] = address.split('%')
  return isIP(bare) === (family === 'ipv4' ? 4 : 6) && !unreachable.check(bare, family)
}
