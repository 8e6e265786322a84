import type { VmError } from '../vm-error.js'
import type { VmConfig } from './vm-config.js'
import type { NativeDetails } from './native-details.js'
import type { VmState } from './vm-state.js'

/** A VM as its host describes it at one moment. */
export interface VmRecord {
  /** Stable as long as the VM exists, and unique on its host. */
  readonly id: string
  /** `'unknown'` if the host can't tell. */
  readonly state: VmState
  /** The settings; of a damaged VM, as much of them as can be read. */
  readonly config: VmConfig
  /** Details that only this kind of host has. */
  readonly native?: NativeDetails | undefined
  /**
   * What is wrong, and what to do: of a VM whose files are damaged, whose state is therefore `unknown`, or of one that is
   * `paused` because the host has no room for what its guest writes.
   */
  readonly problem?: VmError | undefined
}
