import type { DriverOperationTypes } from '../../driver/driver.js'
import type { DriverOperation } from '../../operations.js'
import type { SimulatedHost } from './host.js'
import type { Run } from './run.js'

type Input<O extends DriverOperation> = DriverOperationTypes[O]['input']
type Output<O extends DriverOperation> = DriverOperationTypes[O]['output']

/** What the host does for each operation. All that takes time or may fail goes through the run. */
export type Actions<O extends DriverOperation> = {
  readonly [K in O]: (host: SimulatedHost, run: Run, input: Input<K>) => Promise<Output<K>>
}
