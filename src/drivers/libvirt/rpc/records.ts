import { int, list, string, struct, uuid } from './xdr.js'

/** A domain. libvirt finds it by its `uuid`. */
export const domain = struct({ name: string, uuid, id: int })

/** A snapshot. libvirt finds it by its domain and its name. */
export const snapshot = struct({ name: string, dom: domain })

/** `REMOTE_DOMAIN_LIST_MAX` and `REMOTE_DOMAIN_SNAPSHOT_LIST_MAX`. */
const maxListed = 16_384

export const domains = list(domain, maxListed)
export const snapshots = list(snapshot, maxListed)

/** A storage pool. libvirt finds it by its name, too. */
export const storagePool = struct({ name: string, uuid })

/** A volume in a pool. libvirt finds it by its key. */
export const volume = struct({ pool: string, name: string, key: string })
