import { isDriverOperation, operationCodes, type DriverOperation } from '../../operations.js'

/** An operation that a simulated host logs and that faults meet: one of a driver, or `'connect'`. */
export type SimulatedOperation = DriverOperation | 'connect'

export const simulatedOperations: readonly SimulatedOperation[] = [
  'connect',
  ...operationCodes.filter(isDriverOperation),
]
