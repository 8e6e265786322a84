import { hostnameIn, withoutOwnName } from '../../cloud-init/hostname.js'
import type { CloudInitConfig } from '../../model/cloud-init.js'
import type { VmConfig } from '../../model/vm-config.js'
import type { VmChanges } from '../../model/vm-spec.js'

/*
 * The guests of this host have no cloud-init: of a seed, it keeps what `vm.config` shows.
 */

type Seed = Pick<VmConfig, 'cloudInit'>

/** The seed after a creation or an edit. */
export function seedOf(
  { cloudInit }: Pick<VmChanges, 'cloudInit'>,
  vmName: string,
  present: CloudInitConfig | undefined,
  newInstanceId: () => string,
): Seed {
  if (cloudInit === undefined) return present === undefined ? {} : { cloudInit: present }
  if (cloudInit === false) return {}
  return { cloudInit: { hostname: hostnameIn(cloudInit, vmName), instanceId: newInstanceId() } }
}

/** The seed of a clone: a host name that is the VM's name becomes the clone's. */
export function cloneSeed({ name, cloudInit }: VmConfig, cloneName: string, newInstanceId: () => string): Seed {
  if (cloudInit === undefined) return {}
  const settings = withoutOwnName({ hostname: cloudInit.hostname }, name)
  return seedOf({ cloudInit: settings }, cloneName, undefined, newInstanceId)
}
