import type { HostInfo } from '../../model/host-info.js'
import type { LibvirtHost } from './libvirt-host.js'
import { RemoteError } from './rpc/remote-error.js'

/** libvirt's numbers of versions: 7,002,022 is 7.2.22. */
const versionOf = (number: bigint): string =>
  [number / 1_000_000n, (number / 1000n) % 1000n, number % 1000n].map(String).join('.')

const names: Readonly<Record<string, string>> = { QEMU: 'QEMU', TEST: "libvirt's test driver" }

/** Asks the daemon about its machine. */
export async function hostInfo({ pool: { control }, capabilities }: LibvirtHost): Promise<HostInfo> {
  const [{ hostname }, { type }, { hv_ver: version }, node, free] = await Promise.all([
    control.call('connect_get_hostname', {}),
    control.call('connect_get_type', {}),
    control.call('connect_get_version', {}),
    control.call('node_get_info', {}),
    control.call('node_get_free_memory', {}).catch(nothingFree),
  ])
  return {
    driver: 'libvirt',
    hostName: hostname,
    hypervisor: names[type] ?? type,
    version: versionOf(version),
    ...(capabilities.accelerator !== undefined && { accelerator: capabilities.accelerator }),
    cpus: node.cpus,
    memoryMiB: Math.floor(Number(node.memory) / 1024),
    freeMemoryMiB: Math.floor(Number(free.freeMem) / 2 ** 20),
    guestArchitecture: capabilities.architecture,
  }
}

/** libvirt takes the number 0 for a failure, without a reason. */
function nothingFree(error: unknown): { readonly freeMem: bigint } {
  if (error instanceof RemoteError && error.domain === 0) return { freeMem: 0n }
  throw error
}
