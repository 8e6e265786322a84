import { NotSupportedError } from '../errors.js'
import type { AdapterNetwork } from '../model/vm-config.js'
import type { VmChanges } from '../model/vm-spec.js'

/** The kinds of what an adapter can be connected to: `'user'`, or the key of the object. */
type NetworkKind = AdapterNetwork extends infer N ? (N extends string ? N : keyof N) : never

const kindOf = (network: AdapterNetwork): NetworkKind => {
  if (network === 'user') return 'user'
  if ('private' in network) return 'private'
  return 'bridge' in network ? 'bridge' : 'hostNetwork'
}

/** Throws if an adapter is to be on a network of a kind that the host lacks; `lacks` says why, and what to do instead. */
export function refuseNetworks(
  { networkAdapters = [] }: Pick<VmChanges, 'networkAdapters'>,
  lacks: Readonly<Partial<Record<NetworkKind, { readonly reason: string; readonly hint: string }>>>,
  root: 'spec' | 'changes',
): void {
  for (const [index, { network = 'user' }] of networkAdapters.entries()) {
    const lack = lacks[kindOf(network)]
    if (lack === undefined) continue
    const path = `${root}.networkAdapters[${String(index)}].network`
    const reason = `${path} is not supported: ${lack.reason}`
    throw new NotSupportedError({ capability: 'spec.networkAdapters.network', path, reason, hint: lack.hint })
  }
}
