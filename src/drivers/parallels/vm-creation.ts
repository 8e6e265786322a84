import type { VmRecord } from '../../model/vm-record.js'
import type { Sending } from '../../driver/host-work.js'
import { nameIsTaken } from '../../errors/lookup.js'
import { JobCancelledError, OutcomeUnknownError } from '../../errors.js'
import type { VmSpec } from '../../model/vm-spec.js'
import { applyCommands } from './apply-commands.js'
import { commandsToMake, refuseUnsupported, requireImages } from './configuration.js'
import { isAbandonedDraft, newDraftName } from '../../driver/draft-name.js'
import type { ParallelsHost } from './parallels-host.js'
import { parallelsError } from './parallels-errors.js'
import { isDoubtful } from './parallels-failure.js'
import type { VmInfo } from './vm-info.js'
import type { ParallelsWork } from './parallels-work.js'

/** Creates a VM under a draft's name, and renames it last, so that every visible VM is complete. */
export async function createVm(
  host: ParallelsHost,
  work: ParallelsWork,
  spec: VmSpec,
  { signal, send }: Sending,
): Promise<VmRecord> {
  refuseUnsupported(spec, 'spec')
  await requireImages(spec, host.transport, 'spec')
  signal.throwIfAborted()
  const draft = newDraftName()
  let made: VmInfo | undefined
  let isCreated = false
  send()
  try {
    await host.prlctl.change(['create', draft, '--no-hdd'], { signal, heedsInterrupts: true })
    isCreated = true
    made = await draftNamed(host, draft, spec.name)
    signal.throwIfAborted()
    const { id } = made.record
    await applyCommands(host.prlctl, id, commandsToMake({ cpus: 1, ...spec }, made), { signal })
    return (await work.afterwards(() => host.prlctl.info(id))).record
  } catch (error) {
    if (isCreated || isDoubtful(error)) await removeHalf(host, work, { draft, made, cause: error })
    if (signal.aborted) throw new JobCancelledError({ reason: 'it was cancelled', cause: error })
    throw error
  }
}

/** Finds the VM that was created under the draft's name. */
async function draftNamed(host: ParallelsHost, draft: string, name: string): Promise<VmInfo> {
  const infos = await host.prlctl.list()
  const taken = infos.find(({ record }) => record.config.name === name)
  if (taken !== undefined) throw nameIsTaken(name, taken.record.id)
  const made = infos.find(({ record }) => record.config.name === draft)
  if (made !== undefined) return made
  throw new OutcomeUnknownError({
    reason: `prlctl reported that the VM ${JSON.stringify(draft)} was created, and does not list it`,
    hint: 'Check with prlctl list -a whether it exists.',
  })
}

/** Removes a VM whose creation failed. */
async function removeHalf(
  host: ParallelsHost,
  work: ParallelsWork,
  { draft, made, cause }: { draft: string; made: VmInfo | undefined; cause: unknown },
): Promise<void> {
  try {
    const half = made ?? (await host.prlctl.list()).find(({ record }) => record.config.name === draft)
    if (half !== undefined) await work.remove(half.record.id, 'delete')
  } catch (error) {
    const failure = parallelsError(error, { operation: 'server.createVm' })
    throw new OutcomeUnknownError({
      reason: `it may have been created, and could neither be finished nor removed: ${failure.reason}`,
      hint: `Delete the VM ${JSON.stringify(draft)}, or connect again once this process has ended.`,
      native: failure.native,
      cause,
    })
  }
}

/** Removes the unfinished VMs of processes of this machine that have ended. */
export async function removeAbandonedDrafts(host: ParallelsHost, work: ParallelsWork): Promise<void> {
  for (const { id, state, config } of host.drafts) {
    if (state !== 'stopped' || !isAbandonedDraft(config.name)) continue
    try {
      await work.remove(id, 'delete')
    } catch (error) {
      if (host.work.isClosed) return
      const left = `What an ended process has left of VM ${id} can't be removed yet: ${String(error)}`
      process.emitWarning(left, 'AwaitvmWarning')
    }
  }
}
