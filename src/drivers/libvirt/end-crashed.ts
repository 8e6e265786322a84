import type { VmRecord } from '../../model/vm-record.js'
import { domainOf, type LibvirtHost } from './libvirt-host.js'

/**
 * Ends the QEMU of a crashed VM, if it has crashed: with `<on_crash>preserve</on_crash>`, libvirt keeps it for a look at it. Until then, the
 * VM can't be started, and its disks are in use.
 */
export async function endCrashed({ pool }: LibvirtHost, { id, state }: Pick<VmRecord, 'id' | 'state'>): Promise<void> {
  if (state === 'crashed') await pool.callLong('domain_destroy_flags', { dom: domainOf(id), flags: 0 })
}
