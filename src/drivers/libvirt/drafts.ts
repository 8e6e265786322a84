import { isAbandonedDraft, newDraftName } from '../../driver/draft-name.js'
import { isOff } from './domain-states.js'
import { withMetadata } from './domain/edit-domain.js'
import { readDomain, type Domain } from './domain/read-domain.js'
import { domainOf, isGone, type LibvirtHost } from './libvirt-host.js'
import type { LibvirtWork } from './libvirt-work.js'
import { prefixOf } from './storage/new-files.js'
import { childOf } from './xml/xml-tree.js'

/** `VIR_DOMAIN_UNDEFINE_`: saved memory, what is kept of snapshots, variables of the firmware, what is kept of checkpoints. */
const Undefine = { managedSave: 1, snapshots: 2, nvram: 4, checkpoints: 16 } as const

/** The XML of a domain that this process is about to delete: it is not shown any more. */
export const asDraft = (text: string, domain: Domain): string =>
  withMetadata(text, domain, { ...domain.metadata, uuid: domain.uuid, draft: newDraftName() })

/**
 * The XML of a domain during an edit by this process.
 *
 * @param files the names of the volumes that the edit is about to make or delete. No others are ever removed if it ends half-way: libvirt
 *   names the volumes below snapshots in no definition.
 */
export const asEdited = (text: string, domain: Domain, files: readonly string[]): string => {
  const { uuid, metadata } = domain
  const allFiles = [...(metadata.files ?? []), ...files]
  return withMetadata(text, domain, { ...metadata, uuid, editor: newDraftName(), files: allFiles })
}

/** Removes a VM with the volumes that awaitvm has made for it. Others stay. */
export async function removeDomain(host: LibvirtHost, vm: string): Promise<void> {
  for (const volume of await host.volumes.named(prefixOf(vm))) await host.volumes.remove(volume)
  try {
    const flags = undefineFlags(host, readDomain(await host.xmlOf(vm)))
    await host.pool.callLong('domain_undefine_flags', { dom: domainOf(vm), flags })
  } catch (error) {
    if (!isGone(error)) throw error
  }
}

/** Removes what processes of this machine have left that ended in the midst of making, editing or deleting a VM. */
export async function removeLeftovers(host: LibvirtHost, work: LibvirtWork): Promise<void> {
  for (const vm of host.unfinished) {
    try {
      await work.mend(vm, () => removeLeftoversOf(host, vm))
    } catch (error) {
      if (host.work.isClosed) return
      // It was deleted by then.
      if (isGone(error)) continue
      const left = `What an ended process has left of VM ${vm} can't be removed yet: ${String(error)}`
      process.emitWarning(left, 'AwaitvmWarning')
    }
  }
}

async function removeLeftoversOf(host: LibvirtHost, vm: string): Promise<void> {
  const text = await host.wholeXmlOf(vm)
  const domain = readDomain(text)
  const { draft, editor, files = [], ...kept } = domain.metadata
  // A copy of the domain by another program has a copy of its metadata, and other files.
  if (kept.uuid !== vm) return
  if (draft !== undefined) {
    // Another client may use it.
    if (isAbandonedDraft(draft) && isOff((await host.stateOf(vm)).state)) await removeDomain(host, vm)
    return
  }
  if (editor === undefined || !isAbandonedDraft(editor)) return
  const paths = domain.drives.map(({ path }) => path)
  for (const volume of await host.volumes.named(prefixOf(vm))) {
    if (!files.includes(volume.name) || paths.includes(await host.volumes.pathOf(volume))) continue
    await host.volumes.remove(volume)
  }
  await host.pool.callLong('domain_define_xml_flags', { xml: withMetadata(text, domain, kept), flags: 0 })
}

/** A domain is undefined with all that libvirt keeps of it. A hypervisor refuses flags that it does not know. */
function undefineFlags({ address }: LibvirtHost, { root }: Domain): number {
  const { managedSave, snapshots, nvram, checkpoints } = Undefine
  if (address.hypervisor === 'test') return managedSave | snapshots
  const hasVariables = childOf(root, 'os', 'nvram') !== undefined
  return managedSave | snapshots | checkpoints | (hasVariables ? nvram : 0)
}
