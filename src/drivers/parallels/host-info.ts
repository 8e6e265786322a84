import * as v from 'valibot'
import type { HostInfo, HostLicense } from '../../model/host-info.js'
import type { ParallelsHost } from './parallels-host.js'

const serviceSchema = v.object({ Hostname: v.optional(v.string()), Version: v.optional(v.string(), '') })

/** The kind and version of the host, from `prlsrvctl info`. */
export interface ServiceInfo {
  readonly hostName: string | undefined
  /** `Desktop 26.3.0-57392`, `Server 7.0.16-1` */
  readonly version: string
}

export function serviceInfoOf(output: unknown): ServiceInfo {
  const parsed = v.safeParse(serviceSchema, output)
  return parsed.success
    ? { hostName: parsed.output.Hostname, version: parsed.output.Version }
    : { hostName: undefined, version: '' }
}

const licenseSchema = v.object({
  status: v.optional(v.string(), 'unknown'),
  edition: v.optional(v.string()),
  expiration: v.optional(v.string()),
  is_trial: v.optional(v.boolean()),
})

/** The license, from `prlsrvctl info --license`, without its serial number. */
export function licenseOf(output: unknown): HostLicense | undefined {
  const parsed = v.safeParse(licenseSchema, output)
  if (!parsed.success) return undefined
  const { status, edition, expiration, is_trial: isTrial } = parsed.output
  return {
    status: status.toLowerCase(),
    ...(edition !== undefined && { edition }),
    ...(expiration !== undefined && expiration !== '' && { expires: expiration }),
    ...(isTrial !== undefined && { isTrial }),
  }
}

export async function hostInfo({ prlctl, transport }: ParallelsHost): Promise<HostInfo> {
  const [service, license, machine] = await Promise.all([
    prlctl.service('info', '--json').then(serviceInfoOf),
    prlctl.service('info', '--license', '--json').then(licenseOf),
    transport.describe(),
  ])
  const { architecture, ...capacity } = machine
  return {
    ...capacity,
    driver: 'parallels',
    hostName: service.hostName ?? capacity.hostName,
    hypervisor: prlctl.flavour === 'desktop' ? 'Parallels Desktop' : 'Virtuozzo',
    version: service.version.replace(/^\D+/, ''),
    guestArchitecture: architecture,
    ...(license !== undefined && { license }),
  }
}
