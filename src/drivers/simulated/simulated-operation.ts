import { isDriverOperation, operationCodes, type DriverOperation } from '../../operations.js'

/** What a connection asks of its host: the operations of a driver, and to be let in. */
export type SimulatedOperation = DriverOperation | 'connect'

export const simulatedOperations: readonly SimulatedOperation[] = [
  'connect',
  ...operationCodes.filter(isDriverOperation),
]
