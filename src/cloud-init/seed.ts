import { InvalidArgumentError } from '../errors.js'
import type { CloudInit, CloudInitConfig } from '../model/cloud-init.js'
import type { SeedKeys } from './seed-keys.js'
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
  keys?: SeedKeys,
): ReadonlyMap<string, string> => {
  const { metaData, networkConfig } = settings
  const files = {
    'meta-data': toYaml({ ...metaData, 'instance-id': instanceId, 'local-hostname': hostname }),
    'network-config': typeof networkConfig === 'object' ? toYaml(networkConfig) : networkConfig,
    'user-data': userDataOf(settings, keys),
    'vendor-data': vendorDataOf(settings),
  }
  return new Map(Object.entries(files).flatMap(([name, text]) => (text === undefined ? [] : [[name, text]])))
}

/**
 * The seed for a VM, as an ISO 9660 image: the same settings give the same bytes.
 *
 * @param keys if absent, the guest makes its host keys itself
 * @param path the parameter with the settings, for errors
 */
export function seedImage(
  settings: CloudInit,
  config: CloudInitConfig,
  keys: SeedKeys | undefined,
  path: string,
): Uint8Array {
  const image = isoImage(label, seedFiles(settings, config, keys))
  if (image.length <= maxBytes) return image
  const sizes = `has ${String(image.length)} bytes as a seed, and may have ${String(maxBytes)}`
  throw new InvalidArgumentError({
    path,
    reason: `${path} ${sizes}`,
    hint: 'Copy large files in when the guest is ready.',
  })
}
