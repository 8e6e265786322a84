import type { VmState } from '../../model/vm-state.js'
import type { QmpClient } from './protocol/qmp-client.js'
import type { Definition } from './definition.js'
import type { RunRecord } from './process/run-record.js'

/** A VM that runs, as those see it who only look at it or send it something. */
export interface RunningVm {
  readonly definition: Definition
  readonly folder: string
  readonly run: RunRecord
  readonly monitor: <T>(action: (client: QmpClient) => Promise<T>) => Promise<T>
  /** The state at present, as everybody sees it. */
  readonly look: () => Promise<VmState>
  /** Throws where it is another life of the guest than when the VM was first looked at. */
  readonly requireSameLife: () => Promise<void>
}
