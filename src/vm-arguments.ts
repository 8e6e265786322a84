import * as v from 'valibot'
import { methodOptions, type JobOptions } from './job/job-options.js'
import { diskFileFormats, type DiskFileFormat } from './model/disk-file-format.js'
import { keyCodes } from './model/keys.js'
import { flag, object, optional, unchecked } from './model/schema.js'
import { descriptionSchema, vmNameSchema } from './model/vm-spec.js'
import { vmStates } from './model/vm-state.js'
import { snapshotSchema, type SnapshotArgument } from './snapshot-argument.js'

/** The options of `vm.start()`. */
export interface StartOptions extends JobOptions {
  /**
   * `'running'`, the default, is before the guest has booted. `'ready'` waits for the guest, too, as `vm.guest.waitUntilReady()` does,
   * and needs the capability `'guest.waitUntilReady'`: set `timeoutMs`.
   */
  readonly until?: 'running' | 'ready' | undefined
}

/** The options of `vm.stop()`. */
export interface StopOptions extends JobOptions {
  /**
   * `'shutdown'`, the default, asks the guest to shut down and waits until it has, for two minutes if `timeoutMs` does not say
   * otherwise. `'kill'` takes the power away.
   */
  readonly mode?: StopMode | undefined
  /**
   * Take the power away if the guest can't be asked to shut down, or has not done so once `timeoutMs` is over: the job takes as long as
   * that and the kill together. Not with `mode: 'kill'`.
   */
  readonly thenKill?: boolean | undefined
}

/** How a VM is stopped: its guest shuts down, or the power is taken away. */
export type StopMode = 'shutdown' | 'kill'

/** The options of `vm.delete()`. */
export interface DeleteOptions extends JobOptions {
  /** Take the power away first if the VM is on, and drop what it had not written to its disks. */
  readonly force?: boolean | undefined
}

/** The options of `vm.clone()`. */
export interface CloneOptions extends JobOptions {
  /** The new VM's name, unique on its host. */
  readonly name: string
  /** Share the unchanged part of the disks with the original. Needs the capability `'vm.clone.linked'`. */
  readonly linked?: boolean | undefined
  /**
   * Go on from the memory of the original, too: the clone is `running`. The host shares memory and disks as far as it can, whether
   * `linked` or not. Needs the capability `'vm.clone.memory'`.
   */
  readonly memory?: boolean | undefined
  /**
   * Go on from this snapshot, given by itself, its id or its name, instead of the present moment; the original may be in any state.
   * Needs `memory: true`, and a snapshot that was made while the VM was on.
   */
  readonly snapshot?: SnapshotArgument | undefined
  /**
   * The clone ends with this connection, as an ephemeral VM does: see `VmSpec`. If absent, it is kept, also if the original is
   * ephemeral. Needs the capability `'vm.clone.ephemeral'`.
   */
  readonly ephemeral?: boolean | undefined
}

/**
 * The options of `vm.exportDisk()`.
 *
 * @example
 * ```ts
 * import type { Vm } from 'awaitvm'
 *
 * async function publish(vm: Vm, folder: string): Promise<void> {
 *   for (const [index, { id }] of vm.config.disks.entries()) {
 *     const path = `${folder}/disk-${String(index)}.qcow2`
 *     await vm.exportDisk(id, path, { format: 'qcow2', compress: true }).unwrap()
 *   }
 * }
 * ```
 */
export interface ExportDiskOptions extends JobOptions {
  /** The format of the file; `'raw'` if absent. Any other needs the capability `'vm.exportDisk.formats'`. */
  readonly format?: DiskFileFormat | undefined
  /** Compress the content: `'qcow2'` by zlib, `'vmdk'` as `streamOptimized`. Other formats can't be. */
  readonly compress?: boolean | undefined
}

/** The options of `vm.createSnapshot()`. */
export interface SnapshotOptions extends JobOptions {
  /** The snapshot's name, unique within its VM. */
  readonly name: string
  /** Any text; empty if absent. */
  readonly description?: string | undefined
}

/** The options of `vm.watchStatistics()`. */
export interface WatchOptions {
  /** Milliseconds between two figures; 1000 if absent. */
  readonly intervalMs?: number | undefined
  /** Ends the watching, with a `JobCancelledError`. */
  readonly signal?: AbortSignal | undefined
}

export const readStartOptions = methodOptions({
  until: optional(v.picklist(['running', 'ready'], 'must be "running" or "ready"')),
})
export const readStopOptions = methodOptions({
  mode: optional(v.picklist(['shutdown', 'kill'], 'must be "shutdown" or "kill"')),
  thenKill: flag,
})
export const readDeleteOptions = methodOptions({ force: flag })
const keySchema = v.picklist(keyCodes, 'must be a name of KeyboardEvent.code, such as "KeyA" or "Enter"')
export const keysSchema = v.union(
  [v.string(), v.array(v.union([keySchema, v.pipe(v.array(keySchema), v.minLength(1))]))],
  'must be a text, or an array of names of KeyboardEvent.code, such as "KeyA" or "Enter"',
)
export const statesSchema = v.union(
  [v.picklist(vmStates), v.pipe(v.array(v.picklist(vmStates)), v.minLength(1))],
  `must be one or several of ${vmStates.join(', ')}`,
)
export const readCloneOptions = methodOptions({
  name: vmNameSchema,
  linked: flag,
  memory: flag,
  ephemeral: flag,
  snapshot: optional(snapshotSchema),
})
export const readExportDiskOptions = methodOptions({
  format: optional(v.picklist(diskFileFormats, `must be one of ${diskFileFormats.join(', ')}`)),
  compress: flag,
})
export const readSnapshotOptions = methodOptions({ name: vmNameSchema, description: optional(descriptionSchema) })

export const watchSchema = object({ intervalMs: unchecked<number>(), signal: unchecked<AbortSignal>() })
