export type { ServeOptions } from '../connect.js'
export type { CallLog, CallOutcome, SimulatedCall } from '../drivers/simulated/call-log.js'
export type { SimulatedClock } from '../drivers/simulated/clock.js'
export type { FaultList } from '../drivers/simulated/fault-list.js'
export type { FaultInput, InputName, InputPart, OperationWithInput } from '../drivers/simulated/fault-input.js'
export type {
  CrashFault,
  ErrorFault,
  Fault,
  FaultCalls,
  FaultEffect,
  FaultSelection,
  HangFault,
  InterferenceChange,
  InterferenceFault,
  LostConnectionFault,
  RefuseCancelFault,
  SlowFault,
} from '../drivers/simulated/fault.js'
export type {
  ExecHandler,
  SimulatedExecResult,
  SimulatedOutput,
  SimulatedProgram,
} from '../drivers/simulated/guest-program.js'
export type { Duration, Latency } from '../drivers/simulated/latency.js'
export type { QmpHandler, SimulatedQmpCommand } from '../drivers/simulated/qmp-handler.js'
export type { SimulatedOperation } from '../drivers/simulated/simulated-operation.js'
export { createJob, type CreateJobOptions, type JobInHand } from './create-job.js'
export { createSimulatedServer, type SimulatedServer } from './create-simulated-server.js'
export type { SimulatedServerOptions, SimulatedVmSpec } from './simulated-options.js'
export type { SimulatedVmHandle } from './simulated-vm-handle.js'
export { serve } from './serve.js'
