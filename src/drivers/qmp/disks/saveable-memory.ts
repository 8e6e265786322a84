import * as v from 'valibot'
import { InvalidStateError } from '../../../errors.js'
import type { VmState } from '../../../model/vm-state.js'
import type { Hardware } from '../definition.js'
import type { QmpClient } from '../protocol/qmp-client.js'
import { requirePlugged } from './plugged-disks.js'

const migrationSchema = v.object({ 'blocked-reasons': v.optional(v.array(v.string()), []) })

/**
 * Throws unless the memory of a VM can be saved, and loaded again. Call it before anything is changed.
 *
 * @param state the state of the VM
 */
export async function requireSaveable(client: QmpClient, hardware: Hardware, state: VmState): Promise<void> {
  await requirePlugged(client, hardware)
  const { 'blocked-reasons': reasons } = v.parse(migrationSchema, await client.execute('query-migrate'))
  if (reasons.length === 0) return
  throw new InvalidStateError({ state, expected: ['stopped', 'crashed'], ...explained(state, reasons) })
}

/** What QEMU's reasons mean, and what can be done. */
function explained(state: VmState, reasons: readonly string[]): { readonly reason: string; readonly hint: string } {
  const mounted = reasons.flatMap((reason) => /mount_tag '([^']*)'/.exec(reason)?.[1] ?? [])
  if (mounted.length === reasons.length) {
    const names = mounted.map((tag) => JSON.stringify(tag)).join(', ')
    return {
      reason: `it is ${state}, and its guest has mounted what it shares with the host (${names}), which memory can't be saved with`,
      hint: 'Unmount it in the guest, with umount, and mount it again afterwards; or stop the VM first, with vm.stop().',
    }
  }
  if (reasons.some((reason) => reason.includes('vhost-user-fs'))) {
    return {
      reason: `it is ${state}, and this QEMU can't save the memory of a VM that shares a folder by virtiofs`,
      hint: "Stop it first, with vm.stop(), and give the share the type '9p' with vm.edit({ shares }) if the VM is to be suspended.",
    }
  }
  return {
    reason: `it is ${state}, and its memory can't be saved: ${reasons.join('; ')}`,
    hint: 'Stop it first, with vm.stop().',
  }
}
