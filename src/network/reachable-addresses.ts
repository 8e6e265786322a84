import { BlockList, isIP } from 'node:net'
import type { NetworkAddress } from '../model/exec.js'

/** Addresses that mean another machine elsewhere than in the guest, or on its own wire: loopback, link-local, and none at all. */
const unreachable = new BlockList()
unreachable.addSubnet('0.0.0.0', 8, 'ipv4')
unreachable.addSubnet('127.0.0.0', 8, 'ipv4')
unreachable.addSubnet('169.254.0.0', 16, 'ipv4')
unreachable.addSubnet('::', 127, 'ipv6')
unreachable.addSubnet('fe80::', 10, 'ipv6')

/** Of what a guest says, the addresses by which others may reach it: those of IPv4 first, else in the order of the guest. */
export const reachableAddresses = (told: readonly NetworkAddress[]): NetworkAddress[] =>
  told.filter(isReachable).sort((a, b) => isIP(a.address) - isIP(b.address))

function isReachable({ address, family }: NetworkAddress): boolean {
  const [bare = ''] = address.split('%')
  return isIP(bare) === (family === 'ipv4' ? 4 : 6) && !unreachable.check(bare, family)
}
