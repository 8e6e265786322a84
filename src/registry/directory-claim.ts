import { setTimeout as delay } from 'node:timers/promises'
import { Claim, heldBy } from './claim.js'
import { Exclusive } from '../exclusive.js'
import type { Membership } from './membership.js'

/** How long another process may take for naming a VM, which is a matter of milliseconds, before it is reported. */
const namingTimeoutMs = 10_000
const namingRetryMs = 5

/** Those of this process take turns; only other processes are polled for. */
const turns = new Exclusive()

/** One process at a time does something to a directory of VMs as a whole: no two VMs get the same name. */
export function aloneIn<T>(member: Membership, root: string, action: () => Promise<T>): Promise<T> {
  return turns.run(root, () => withClaim(member, root, action))
}

async function withClaim<T>(member: Membership, root: string, action: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + namingTimeoutMs
  let claim = Claim.take(member, root, 'stopped')
  while (!(claim instanceof Claim)) {
    if (performance.now() > deadline) {
      throw heldBy(claim, `the directory ${root}`)
    }
    await delay(namingRetryMs)
    claim = Claim.take(member, root, 'stopped')
  }
  try {
    return await action()
  } finally {
    claim.release()
  }
}
