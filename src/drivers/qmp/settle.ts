import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { isAlive } from '../../registry/process-identity.js'
import type { ClaimRecord } from '../../registry/claim.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import { diskNodes } from './disks/disk-devices.js'
import { finishChangeOver } from './disks/live-sharing.js'
import { runFiles } from './run-files.js'
import { allDisks, isBase, tagOf, withoutFormerFiles, type Definition, type Hardware } from './definition.js'
import type { DiskImages } from './disks/disk-images.js'
import { isThere } from './disks/required-parts.js'
import { isOwnName } from './hardware/own-names.js'
import { copyTpm } from './hardware/tpm.js'
import { withOwnTpm } from './hardware/tpm-state.js'
import { settleMove } from './moves/migration.js'
import { openMonitor } from './process/monitor.js'
import { differences, growLive, nodeNames, plugDisk, readSlots } from './disks/plugged-disks.js'
import type { QmpClient } from './protocol/qmp-client.js'
import { QmpCommandError } from './protocol/qmp-errors.js'
import { followJobs } from './protocol/qemu-job.js'
import { endCompanions, endLeftCompanions } from './process/companion.js'
import { endQemu } from './process/qemu-end.js'
import { findOrphan } from './process/qemu-process.js'
import { endOfRun, readRun, removeRun, type RunRecord } from './process/run-record.js'

interface Parts {
  readonly directory: VmDirectory<Definition>
  readonly images: DiskImages
}

/**
 * Repairs a VM whose last owner may have crashed at any moment:
 * - A QEMU without a record has not run its guest, and one whose memory was saved is not needed any more: both are ended.
 * - Companions of a QEMU that was not started, or that is gone, are ended.
 * - If a recorded QEMU is gone, the definition keeps whether it crashed.
 * - A guest that was paused only to save its memory, which was not kept, or that was about to run, runs.
 * - Disks that became bases for a clone are not written to any more: QEMU changes over to their overlays.
 * - An edit that was saved is finished: disks are grown, and files of removed disks are deleted.
 * - A switch to a snapshot that was begun is done again from the beginning.
 * - A VM that was being moved to another directory is either there or here.
 *
 * Returns the definition that follows, or `undefined` if the VM has moved.
 */
export async function settle(
  parts: Parts,
  found: Definition,
  inherited: ClaimRecord | undefined,
): Promise<Definition | undefined> {
  const folder = parts.directory.folder(found.id)
  const isMoved = found.movingTo !== undefined || found.movedFrom !== undefined
  const present = isMoved ? await settleMove(parts.directory, found) : found
  if (present === undefined) return undefined
  let definition = present
  const save = async (changed: Definition): Promise<void> => {
    await parts.directory.save(changed)
    definition = changed
  }
  const run = readRun(folder)
  const isRunning = run !== undefined && isAlive(run.process, folder)
  const orphan = run === undefined ? await findOrphan(folder, found.id, inherited !== undefined) : undefined
  if (orphan !== undefined) await endQemu(folder, orphan)
  if (isRunning && definition.memory !== undefined) await endQemu(folder, run.process)
  if (run !== undefined && !(isRunning && definition.memory === undefined)) {
    const hasCrashed = definition.memory === undefined && (await endOfRun(folder)) === 'crash'
    if (hasCrashed) await save({ ...definition, hasCrashed })
    await endCompanions(folder, run.companions)
    removeRun(folder)
  }
  if (inherited !== undefined && readRun(folder) === undefined) await endLeftCompanions(folder)
  const hardware = withoutFormerFiles(definition.hardware)
  if (readRun(folder) === undefined && hardware !== definition.hardware) await save({ ...definition, hardware })
  if (definition.switchingTo !== undefined) await save(await takeBack(parts, definition, definition.switchingTo))
  if (definition.leavingFiles !== undefined) {
    const { leavingFiles: _leavingFiles, ...settled } = definition
    await save(settled)
  }
  if (inherited !== undefined) {
    if (isRunning && definition.memory === undefined) await settleQemu(folder, definition, run, inherited)
    else {
      await growDisks(parts, definition)
      await dropTags(parts, definition)
    }
  }
  return definition
}

/** Reverts the disks to a snapshot, which may be repeated. Returns the definition that follows. */
export async function takeBack({ directory, images }: Parts, definition: Definition, to: string): Promise<Definition> {
  const snapshot = definition.snapshots.find(({ id }) => id === to)
  const { switchingTo: _switchingTo, memory: _memory, hasCrashed: _hasCrashed, ...rest } = definition
  if (snapshot === undefined) return rest
  const { memory } = snapshot
  const hardware = withOwnTpm(snapshot.hardware)
  const folder = directory.folder(definition.id)
  for (const { file } of allDisks(hardware)) {
    const path = join(folder, file)
    // A file that was lost since the switch began can't be reverted: the VM lacks that disk then.
    if (isThere(path)) await images.applySnapshot(path, tagOf(snapshot))
  }
  const { tpm } = snapshot.hardware
  if (tpm !== undefined && existsSync(join(folder, tpm.state))) {
    await copyTpm({ folder, tpm }, { folder, tpm: hardware.tpm })
  }
  return { ...rest, hardware, ...(memory !== undefined && { memory }), currentSnapshot: to }
}

async function growDisks({ directory, images }: Parts, { id, hardware }: Definition): Promise<void> {
  for (const { file, sizeMiB } of hardware.disks) {
    const path = join(directory.folder(id), file)
    if (sizeMiB !== undefined && isThere(path)) await images.grow(path, sizeMiB)
  }
}

/** Drops snapshots that a crashed owner was making or deleting. */
async function dropTags({ directory, images }: Parts, { id, hardware, snapshots }: Definition): Promise<void> {
  const known = new Set(snapshots.map(tagOf))
  const files = new Set([hardware, ...snapshots.map((snapshot) => snapshot.hardware)].flatMap(filesOfDisks))
  for (const file of files) {
    const path = join(directory.folder(id), file)
    if (isBase(file) || !isThere(path)) continue
    for (const tag of await images.snapshotTags(path)) if (!known.has(tag)) await images.deleteSnapshot(path, tag)
  }
}

const filesOfDisks = (hardware: Hardware): string[] => allDisks(hardware).map(({ file }) => file)

const jobsSchema = v.array(v.object({ id: v.string() }))

/** True if a crashed owner left a guest paused that should run. */
const wasToRun = ({ state, before }: ClaimRecord): boolean =>
  state === 'starting' ||
  ((state === 'suspending' || state === 'cloning') && before === 'running') ||
  (state === 'resuming' && before === 'suspended')

/** Brings a QEMU whose owner crashed in the middle of a change back to the definition, and lets a guest run that was paused for it. */
async function settleQemu(
  folder: string,
  { hardware }: Definition,
  run: RunRecord,
  inherited: ClaimRecord,
): Promise<void> {
  const client = await openMonitor(folder, runFiles.control)
  try {
    // Nobody needs the results of these jobs: the error that they were cancelled is expected. A user's own jobs go on.
    const jobs = v.parse(jobsSchema, await client.execute('query-jobs'))
    const ids = jobs.map(({ id }) => id).filter(isOwnName)
    await followJobs(client, ids, { signal: AbortSignal.abort() }).catch(() => undefined)
    const names = await nodeNames(client)
    for (const name of names.filter((name) => name === 'memory' || name.startsWith('copy'))) {
      await client.execute('blockdev-del', { 'node-name': name })
    }
    await finishChangeOver(client, hardware)
    await settlePlugs(client, hardware, names)
    if (wasToRun(inherited)) await client.execute('cont')
  } finally {
    await client.close()
  }
}

/** Finishes an edit: plugs and grows the disks of the definition, and closes others. */
async function settlePlugs(client: QmpClient, hardware: Hardware, nodes: readonly string[]): Promise<void> {
  const { missing, unknown } = differences(await readSlots(client), hardware)
  const known = new Set([
    ...allDisks(hardware).flatMap(diskNodes),
    ...unknown.map((device) => device.slice('drive-'.length)),
  ])
  try {
    for (const node of nodes.filter((name) => name.startsWith('disk-') && !known.has(name))) {
      await client.execute('blockdev-del', { 'node-name': node })
    }
    for (const disk of missing) await plugDisk(client, disk, hardware.machine)
    for (const disk of hardware.disks) await growLive(client, disk)
  } catch (error) {
    if (!(error instanceof QmpCommandError)) throw error
    // Other operations still work; suspend and snapshots check the disks first.
    process.emitWarning(`Disks that an edit was about to change are not in order: ${error.message}`, 'AwaitvmWarning')
  }
}
