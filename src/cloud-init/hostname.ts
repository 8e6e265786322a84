import type { CloudInit } from '../model/cloud-init.js'

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
  return hostname?.toLowerCase() === hostnameOf(vmName) ? others : settings
}
