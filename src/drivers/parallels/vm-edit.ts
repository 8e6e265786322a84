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

/** Changes all the settings of an edit, or none. */
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
    // prlctl applies all the settings of one command, or none.
    if (applied.length === 0 && !isDoubtful(error)) throw error
    const record = await afterFailure(host, before, changes, error)
    if (record !== undefined) return record
    throw error
  }
  return (await work.afterwards(() => host.look(id))).record
}

/** Undoes a part of an edit; answers the VM if the edit turns out to be complete. */
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
    reason: `a part of it is or may be changed, and could not be undone: ${left.join(', ')}. The edit failed: ${reason}`,
    hint: 'vm.refresh() reads the present settings.',
    native,
    cause,
  })
}

/** The settings that still differ from before; the given ones if the host can't be asked. */
async function leftAfter(
  host: ParallelsHost,
  before: VmInfo,
  changes: VmChanges,
  unknown: readonly string[],
): Promise<readonly string[]> {
  try {
    return changedSettings(changes, before, await host.look(before.record.id))
  } catch {
    return unknown
  }
}
