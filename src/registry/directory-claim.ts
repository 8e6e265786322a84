import { setTimeout as delay } from 'node:timers/promises'
import { Claim, heldBy } from './claim.js'
import { Exclusive } from '../exclusive.js'
import type { Membership } from './membership.js'

/** Longest wait for another process to name a VM. Naming takes milliseconds. */
const namingTimeoutMs = 10_000
const namingRetryMs = 5

/** Calls in this process queue up; other processes are polled for. */
const turns = new Exclusive()

/** Runs the action while no other process changes the directory as a whole, so that no two VMs get the same name. */
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
