import { closeSync, openSync, readSync } from 'node:fs'
import type { VmRecord } from '../../model/vm-record.js'
import { VmError } from '../../errors.js'
import { requireState } from '../../errors/state.js'
import type { DiskConfig, VmConfig } from '../../model/vm-config.js'
import type { ImageRecord } from '../../files/image-record.js'
import type { VmState } from '../../model/vm-state.js'
import type { OperationCode } from '../../operations.js'
import { shownAdapters, type KeptAdapter } from '../../network/kept-adapter.js'
import type { Folder } from './files/file-tree.js'
import { FileSystem } from './files/file-system.js'
import { filesOfNewGuest } from './files/new-guest.js'
import type { ExecHandler } from './guest-program.js'
import type { InputHandler, SimulatedMachine } from './simulated-machine.js'
import type { SimulatedOperation } from './simulated-operation.js'
import type { GuestMemory } from './serial-guest.js'

/** A disk, and the one byte that the guest has written to it. Immutable, since snapshots share it. */
export interface SimulatedDisk {
  readonly config: DiskConfig
  readonly written: number | undefined
}

/** What belongs to a VM besides its machine. Clones and snapshots share it. */
export interface VmContent {
  readonly config: VmConfig
  readonly disks: readonly SimulatedDisk[]
  readonly adapters: readonly KeptAdapter[]
  /** The record of its images; `undefined` for a VM that was there before any connection, and if images need not exist. */
  readonly images: ImageRecord | undefined
  /** The files of the guest; `undefined` until they are first changed. */
  readonly files: Folder | undefined
}

export interface SnapshotRecord {
  readonly id: string
  readonly name: string
  readonly description: string
  readonly createdAtMs: number
  readonly parentId: string | undefined
  readonly state: 'stopped' | 'running' | 'paused'
  readonly content: VmContent
  /** `undefined` if the VM did not run. */
  readonly memory: GuestMemory | undefined
}

/** An operation that has a VM to itself. */
export interface VmHolder {
  readonly operation: SimulatedOperation
  /** The VM's machine is gone, and the operation can't go on with it. */
  onMachineEnd(error: VmError): void
}

/** What a test does in place of the guest. */
export interface GuestHandlers {
  exec?: ExecHandler | undefined
  input?: InputHandler | undefined
}

const noDisks: readonly SimulatedDisk[] = []
const noAdapters: readonly KeptAdapter[] = []
const noSnapshots: readonly SnapshotRecord[] = []

export const newDisk = (config: DiskConfig): SimulatedDisk => ({ config, written: undefined })

const newDisks = (configs: readonly DiskConfig[]): readonly SimulatedDisk[] =>
  configs.length === 0 ? noDisks : configs.map(newDisk)

/** A VM of the simulated host. */
export class SimulatedVm {
  readonly id: string
  /** The number of the VM on its host. The guest's addresses follow from it. */
  readonly number: number
  content: VmContent
  state: VmState = 'stopped'
  /** Set while it runs or is paused. */
  machine: SimulatedMachine | undefined
  /** Set while it is suspended. */
  memory: GuestMemory | undefined
  snapshots = noSnapshots
  currentSnapshot: string | undefined
  handlers: GuestHandlers | undefined
  /** The connection that it ends with, if it is ephemeral. */
  owner: object | undefined
  /** The operation that has the VM to itself. */
  holder: VmHolder | undefined
  /** What hands the VM to the operations in line, in order. */
  line: (() => void)[] | undefined
  /** True while a shutdown shows its transient state: a kill is allowed nevertheless. */
  isShuttingDown = false

  constructor(id: string, number: number, content: { config: VmConfig } & Partial<VmContent>) {
    this.id = id
    this.number = number
    const { config, disks = newDisks(config.disks), adapters = noAdapters, images, files } = content
    this.content = { config, disks, adapters, images, files }
  }

  get config(): VmConfig {
    return this.content.config
  }

  get name(): string {
    return this.content.config.name
  }

  get record(): VmRecord {
    const { config, adapters } = this.content
    const isForwarding = this.machine !== undefined && adapters.length > 0
    return {
      id: this.id,
      state: this.state,
      problem: this.machine?.problem,
      config: isForwarding ? { ...config, networkAdapters: shownAdapters(adapters, true) } : config,
    }
  }

  /** Throws unless the VM is in a state that the operation needs. */
  requireState(operation: OperationCode, expected?: readonly VmState[]): void {
    requireState(operation, this.state, expected, this.machine?.problem)
  }

  /** Throws if the host has no room for what the operation would write. */
  requireRoom(): void {
    const problem = this.machine?.problem
    if (problem !== undefined) throw VmError.copy(problem)
  }

  /** Does something with the files of the guest, at this time. */
  withFiles<R>(nowMs: number, action: (files: FileSystem) => R): R {
    const before = this.content.files ?? filesOfNewGuest(this.name)
    const files = new FileSystem(before, nowMs)
    const result = action(files)
    if (files.root !== before) this.content = { ...this.content, files: files.root }
    return result
  }

  /** Writes to the first disk. False if there is none. */
  writeDisk(byte: number): boolean {
    const [first, ...others] = this.content.disks
    if (first === undefined) return false
    this.content = { ...this.content, disks: [{ ...first, written: byte }, ...others] }
    return true
  }

  /** The byte on the first disk: the written one, or that of its image. */
  readDisk(): number | undefined {
    const [first] = this.content.disks
    if (first === undefined) return undefined
    const { written, config } = first
    return written ?? (config.image === undefined ? 0 : readSector(config.image))
  }
}

/** The first byte of sector 1 of an image. Bytes past its end read as zero. */
function readSector(image: string): number | undefined {
  try {
    const file = openSync(image, 'r')
    try {
      const bytes = new Uint8Array(1)
      readSync(file, bytes, 0, 1, 512)
      return bytes[0]
    } finally {
      closeSync(file)
    }
  } catch {
    // The guest sees a broken disk, and reports that there is none.
    return undefined
  }
}
