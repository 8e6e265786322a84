import type { VmRecord } from '../../model/vm-record.js'
import { invalidState } from '../../errors/state.js'
import { OutcomeUnknownError } from '../../errors.js'
import type { VmChanges } from '../../model/vm-spec.js'
import { applyCommands } from './apply-commands.js'
import {
  changedSettings,
  commandsToEdit,
  commandsToPutBack,
  needStop,
  refuseUnsupported,
  requireImages,
  type SetCommand,
} from './configuration.js'
import type { ParallelsHost } from './parallels-host.js'
import { parallelsError } from './parallels-errors.js'
import { isDoubtful } from './parallels-failure.js'
import type { VmInfo } from './vm-info.js'
import type { ParallelsWork } from './parallels-work.js'

/** Changes a VM's settings, all of them or none. */
export async function editVm(
  host: ParallelsHost,
  work: ParallelsWork,
  before: VmInfo,
  changes: VmChanges,
): Promise<VmRecord> {
  const { id, state } = before.record
  refuseUnsupported(changes, 'changes')
  const commands = commandsToEdit(changes, before)
  if (needStop(commands) && state !== 'stopped') throw invalidState(state, ['stopped'])
  await requireImages(changes, host.transport, 'changes')
  const applied: SetCommand[] = []
  try {
    await applyCommands(host.prlctl, id, commands, { onApplied: (command) => void applied.push(command) })
  } catch (error) {
    // prlctl takes the settings of one command as a whole, or not at all.
    if (applied.length === 0 && !isDoubtful(error)) throw error
    const record = await afterFailure(host, before, changes, error)
    if (record !== undefined) return record
    throw error
  }
  return (await work.afterwards(() => host.look(id))).record
}

/** Puts back what was changed by then; answers the VM where it turns out that all of it was changed. */
async function afterFailure(
  host: ParallelsHost,
  before: VmInfo,
  changes: VmChanges,
  failure: unknown,
): Promise<VmRecord | undefined> {
  const { id } = before.record
  let left: readonly string[] = Object.keys(changes)
  let cause = failure
  try {
    const now = await host.look(id)
    if (isDoubtful(failure) && commandsToEdit(changes, before, now).length === 0) return now.record
    left = changedSettings(changes, before, now)
    await applyCommands(host.prlctl, id, commandsToPutBack(changes, before, now))
  } catch (error) {
    cause = error
  }
  if (left.length > 0) left = await leftAfter(host, before, changes, left)
  if (left.length === 0) return undefined
  const { reason, native } = parallelsError(failure, { operation: 'vm.edit', vm: id, path: 'changes' })
  throw new OutcomeUnknownError({
    reason: `a part of it is changed, or may be, and is not put back: ${left.join(', ')}. It failed since ${reason}`,
    hint: 'vm.refresh() tells how it is now.',
    native,
    cause,
  })
}

/** The settings that are still not as they were: those that are given where nobody can say. */
async function leftAfter(
  host: ParallelsHost,
  before: VmInfo,
  changes: VmChanges,
  unknown: readonly string[],
): Promise<readonly string[]> {
  try {
    return changedSettings(changes, before, await host.look(before.record.id))
  } catch {
    // The host can't be asked: the settings are told of as they were seen last.
    return unknown
  }
}
