import { InvalidArgumentError } from '../errors.js'
import type { CloudInit, CloudInitConfig } from '../model/cloud-init.js'
import { isoImage } from './iso9660.js'
import { userDataOf, vendorDataOf } from './user-data.js'
import { toYaml } from './yaml.js'

/** The label by which cloud-init finds the seed (DataSourceNoCloud). */
const label = 'cidata'
/** Far more than what cloud-init is used for. It is kept for each clone. */
const maxBytes = 8 * 2 ** 20

/** The texts of a seed, by the names of their files. */
export const seedFiles = (
  settings: CloudInit,
  { instanceId, hostname }: CloudInitConfig,
): ReadonlyMap<string, string> => {
  const { metaData, networkConfig } = settings
  const files = {
    'meta-data': toYaml({ ...metaData, 'instance-id': instanceId, 'local-hostname': hostname }),
    'network-config': typeof networkConfig === 'object' ? toYaml(networkConfig) : networkConfig,
    'user-data': userDataOf(settings),
    'vendor-data': vendorDataOf(settings),
  }
  return new Map(Object.entries(files).flatMap(([name, text]) => (text === undefined ? [] : [[name, text]])))
}

/**
 * The seed for a VM, as an ISO 9660 image: the same settings give the same bytes.
 *
 * @param path the parameter with the settings, for errors
 */
export function seedImage(settings: CloudInit, config: CloudInitConfig, path: string): Uint8Array {
  const image = isoImage(label, seedFiles(settings, config))
  if (image.length <= maxBytes) return image
  const sizes = `has ${String(image.length)} bytes as a seed, and may have ${String(maxBytes)}`
  throw new InvalidArgumentError({
    path,
    reason: `${path} ${sizes}`,
    hint: 'Copy large files in when the guest is ready.',
  })
}

/** The host name that settings give to a VM of this name. */
export const hostnameIn = ({ hostname }: CloudInit, vmName: string): string => hostname ?? hostnameOf(vmName)

/** The name of a VM as a host name, with `-` for what that can't have. */
function hostnameOf(vmName: string): string {
  const labels = vmName
    .normalize('NFKD')
    .toLowerCase()
    .split('.')
    .map((part) =>
      part
        .replace(/\p{M}/gu, '')
        .replace(/[^a-z0-9]+/g, '-')
        .slice(0, 63)
        .replace(/^-|-$/g, ''),
    )
    .filter((part) => part !== '')
  return labels.length === 0 ? 'vm' : labels.join('.')
}

/** The settings to keep. A host name that is the VM's name is left out, so that it follows the names of clones. */
export function withoutOwnName(settings: CloudInit, vmName: string): CloudInit {
  const { hostname, ...others } = settings
  return hostname === vmName ? others : settings
}
