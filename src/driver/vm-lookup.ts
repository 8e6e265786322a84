import { vmNotFound } from '../errors/lookup.js'
import { hasLabels } from '../model/vm-labels.js'
import type { VmFilter } from '../model/vm-spec.js'
import type { VmRecord } from '../model/vm-record.js'

/**
 * Finds a VM in the list of a host. An id goes before a name.
 * @param idOf the id as the host would spell it; the text itself if absent
 * @throws VmNotFoundError
 */
export function findVm(vms: readonly VmRecord[], nameOrId: string, idOf = (text: string) => text): VmRecord {
  const wanted = idOf(nameOrId)
  const found = vms.find(({ id }) => id === wanted) ?? vms.find(({ config }) => config.name === nameOrId)
  if (found === undefined) throw vmNotFound(nameOrId)
  return found
}

/** The VMs of a list that match all that the filter asks for. */
export const filterVms = (vms: readonly VmRecord[], { name, state, labels }: VmFilter): VmRecord[] =>
  vms.filter(
    ({ config, ...vm }) =>
      (name ?? config.name) === config.name && (state ?? vm.state) === vm.state && hasLabels(config.labels, labels),
  )
