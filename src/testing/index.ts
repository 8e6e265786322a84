export { serve, type ServeOptions } from '../connect.js'
export type {
  CancelHandler,
  Driver,
  DriverOperation,
  DriverOperations,
  DriverOperationTypes,
  HostJob,
  ProgressUpdate,
  Task,
  VmRecord,
} from '../driver.js'
export { createJob, type CreateJobOptions, type JobInHand } from './create-job.js'
