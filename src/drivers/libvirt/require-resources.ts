import { InsufficientResourcesError } from '../../errors.js'
import type { VmChanges } from '../../model/vm-spec.js'
import type { LibvirtHost } from './libvirt-host.js'

/** Throws if the host does not have what is asked for: libvirt defines a VM that it could never start. */
export async function requireResources(
  { capabilities, pool }: LibvirtHost,
  { cpus, memoryMiB }: Pick<VmChanges, 'cpus' | 'memoryMiB'>,
): Promise<void> {
  if (cpus === undefined && memoryMiB === undefined) return
  const [{ max_vcpus: most }, node] = await Promise.all([
    pool.control.call('connect_get_max_vcpus', { type: capabilities.domainType }),
    pool.control.call('node_get_info', {}),
  ])
  const hostMiB = Math.floor(Number(node.memory) / 1024)
  if ((cpus ?? 1) <= most && (memoryMiB ?? 1) <= hostMiB) return
  throw new InsufficientResourcesError({
    reason: `a VM of this host can have ${String(most)} processors, and the host has ${String(hostMiB)} MiB of memory`,
    hint: 'Ask for fewer processors, or for less memory.',
  })
}
