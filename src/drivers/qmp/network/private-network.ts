import { createHash } from 'node:crypto'
import type { FolderId } from '../process/own-qemu.js'

/** Ports below those that systems give to programs that ask for any (Linux: 32768 to 60999). */
const firstPort = 10_000
const ports = 20_000

/**
 * QEMU's network for the VMs of a directory that name the same private network: a multicast group on the loopback interface, which
 * needs no other process and no rights, and no packet of which leaves the computer. The group and its port derive from the directory
 * and the name, so that other networks have other groups, but for one chance in 10^11.
 *
 * @param directory its identity, which stays the same if it is renamed while VMs run
 */
export function privateNetwork(
  directory: FolderId,
  name: string,
): { readonly type: 'socket'; readonly mcast: string; readonly localaddr: string } {
  const digest = createHash('sha256').update(`${directory} ${name}`).digest()
  // 239.0.0.0/8 is for groups that are not known outside (RFC 2365).
  const group = `239.${[...digest.subarray(0, 3)].join('.')}`
  const port = firstPort + (digest.readUInt32BE(3) % ports)
  return { type: 'socket', mcast: `${group}:${String(port)}`, localaddr: '127.0.0.1' }
}
