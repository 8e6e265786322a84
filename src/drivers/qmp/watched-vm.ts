import type { FolderWatcher } from '../../files/folder-watcher.js'
import type { VmState } from '../../model/vm-state.js'
import type { ProcessIdentity } from '../../registry/process-identity.js'
import type { Definition } from './definition.js'
import { runLogs, type RunLog } from './logs/kept-part.js'

/** What is known of a VM that is watched. */
export interface WatchedVm {
  name: string
  /** What was told last; nothing before the first look. */
  definition: Definition | undefined
  state: VmState | undefined
  process: ProcessIdentity | undefined
  watcher: FolderWatcher | undefined
  /** The logs that may have grown since they were last seen to. */
  readonly grown: Set<RunLog>
  /** How many of this connection's operations are at it: they tell the state themselves. */
  owners: number
  /** Changes with whatever this connection tells, so that a look that began before is not believed. */
  epoch: number
  isLooking: boolean
  mustLookAgain: boolean
  /** The owner of this connection's last claim on it, whose traces may be seen after its end. */
  ownClaim: string | undefined
  /** The last that its QEMU has said of a change. */
  change: string | undefined
  readonly onConsole: Set<() => void>
  readonly onEnd: Map<ProcessIdentity, Set<() => void>>
}

/** A VM that nobody has looked at yet. */
export const newWatchedVm = (id: string): WatchedVm => ({
  name: id,
  definition: undefined,
  state: undefined,
  process: undefined,
  watcher: undefined,
  grown: new Set(runLogs),
  owners: 0,
  epoch: 0,
  isLooking: false,
  mustLookAgain: false,
  ownClaim: undefined,
  change: undefined,
  onConsole: new Set(),
  onEnd: new Map(),
})
