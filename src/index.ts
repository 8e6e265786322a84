export { batch } from './batch/batch.js'
export { type BatchJob } from './batch/batch-job.js'
export type { BatchContext, BatchError, BatchOperation, BatchValue } from './batch/batch-operation.js'
export type { BackoffOptions, BatchOptions, RetryOptions } from './batch/batch-options.js'
export type {
  BatchFailure,
  BatchFunctionError,
  BatchItemError,
  BatchOutcome,
  BatchReport,
  BatchRetry,
  BatchStop,
  BatchSuccess,
} from './batch/batch-report.js'
export type { BatchRow } from './batch/batch-row.js'
export { connect, type ConnectOptions, type ServeOptions } from './connect.js'
export { type ConsoleStream } from './console-stream.js'
export * from './errors.js'
export { ExecJob } from './exec/exec-job.js'
export { type EventQueue } from './event-queue.js'
export { type VmGuest } from './guest.js'
export { guestProgram } from './guest-program.js'
export type { CopyInOptions, GuestFiles, ReadFileOptions, ReadRange, WriteFileOptions } from './guest-files.js'
export { jobChannelName, type JobEvent } from './job/diagnostics.js'
export type { JobStatus } from './job/job-core.js'
export type { JobOptions } from './job/job-options.js'
export { Job, JobRef, type JobError, type JobValue, type WaitOptions } from './job/job.js'
export type { ItemCounts, Progress } from './job/progress.js'
export type { UnobservedFailure } from './job/unobserved-failures.js'
export { matchError } from './match-error.js'
export type { CachedImage } from './model/cached-image.js'
export type { CloudInit, CloudInitConfig, CloudInitData, CloudInitFile, CloudInitUser } from './model/cloud-init.js'
export type { DiskFileFormat } from './model/disk-file-format.js'
export type { ExecOptions, ExecResult, ProgramInput, ProgramOptions, ProgramOutput, PtySize } from './model/exec.js'
export type { GuestEntry, GuestFileErrno, GuestFileType, GuestStats } from './model/guest-file.js'
export type { GuestInfo } from './model/guest-info.js'
export type { HostInfo, HostLicense } from './model/host-info.js'
export type { ImageDownload } from './model/image-source.js'
export type { JsonObject, JsonValue } from './model/json.js'
export { keyCodes, type KeyCode, type Keys } from './model/keys.js'
export type { NetworkAddress } from './model/network-address.js'
export type { SignalName } from './model/signal.js'
export type { Snapshot, SnapshotNode } from './model/snapshot.js'
export type { SnapshotArgument } from './snapshot-argument.js'
export type { VmStatistics } from './model/statistics.js'
export type {
  AdapterNetwork,
  BootConfig,
  CdromConfig,
  DiskBus,
  DiskConfig,
  DiskSpec,
  GuestArchitecture,
  MachineType,
  MediaConfig,
  NetworkAdapterConfig,
  PortForward,
  VmConfig,
} from './model/vm-config.js'
export type { EventFilter, OverflowEvent, VmChangeEvent, VmEvent, VmStateEvent } from './model/vm-event.js'
export type { NativeSettings } from './model/native-settings.js'
export type { NativeDetails, ParallelsNative, QemuNative } from './model/native-details.js'
export type { AgentAccess, GuestAccess, NoAccess, SshAccess } from './model/guest-access.js'
export type { ShareConfig, ShareType } from './model/share.js'
export type { VmLabels } from './model/vm-labels.js'
export type { VmChanges, VmFilter, VmSpec } from './model/vm-spec.js'
export { vmStates, type VmState } from './model/vm-state.js'
export type * from './operation-errors.js'
export {
  operations,
  type AnswerKind,
  type Capability,
  type Feature,
  type JobTarget,
  type OperationCode,
  type OperationSpec,
} from './operations.js'
export { Err, err, errAsync, Ok, ok, okAsync, type Result, ResultAsync } from './result.js'
export { type Server } from './server.js'
export { type ServerImages } from './server-images.js'
export type {
  CloneOptions,
  DeleteOptions,
  ExportDiskOptions,
  SnapshotOptions,
  StartOptions,
  StopMode,
  StopOptions,
  WatchOptions,
} from './vm-arguments.js'
export type { Vm } from './vm.js'
export { type VmNative } from './vm-native.js'
export type { VmView } from './vm-view.js'
