import type { VmErrors } from './errors.js'
import type { OperationCode, operations } from './operations.js'

/** The union of errors that an operation may end with. */
export type OperationErrors<O extends OperationCode> = VmErrors[(typeof operations)[O]['errors'][number]]

/** What `connect()` may end with. */
export type ConnectErrors = OperationErrors<'connect'>
/** What `server.getInfo()` may end with. */
export type GetInfoErrors = OperationErrors<'server.getInfo'>
/** What `server.getVmList()` may end with. */
export type GetVmListErrors = OperationErrors<'server.getVmList'>
/** What `server.getVm()` may end with. */
export type GetVmErrors = OperationErrors<'server.getVm'>
/** What `server.createVm()` may end with. */
export type CreateVmErrors = OperationErrors<'server.createVm'>
/** What `server.registerVm()` may end with. */
export type RegisterVmErrors = OperationErrors<'server.registerVm'>
/** What `server.getJobs()` may end with. */
export type GetJobsErrors = OperationErrors<'server.getJobs'>
/** What `server.attachJob()` may end with. */
export type AttachJobErrors = OperationErrors<'server.attachJob'>
/** What `server.images.list()` may end with. */
export type ListImagesErrors = OperationErrors<'images.list'>
/** What `server.images.fetch()` may end with. */
export type FetchImageErrors = OperationErrors<'images.fetch'>
/** What `server.images.remove()` may end with. */
export type RemoveImageErrors = OperationErrors<'images.remove'>
/** What `server.close()` may end with. */
export type CloseErrors = OperationErrors<'server.close'>
/** What `vm.getState()` may end with. */
export type GetStateErrors = OperationErrors<'vm.getState'>
/** What `vm.refresh()` may end with. */
export type RefreshErrors = OperationErrors<'vm.refresh'>
/** What `vm.waitForState()` may end with. */
export type WaitForStateErrors = OperationErrors<'vm.waitForState'>
/** What `vm.start()` may end with. */
export type StartErrors = OperationErrors<'vm.start'>
/** What `vm.stop()` may end with. */
export type StopErrors = OperationErrors<'vm.stop'>
/** What `vm.pause()` may end with. */
export type PauseErrors = OperationErrors<'vm.pause'>
/** What `vm.resume()` may end with. */
export type ResumeErrors = OperationErrors<'vm.resume'>
/** What `vm.suspend()` may end with. */
export type SuspendErrors = OperationErrors<'vm.suspend'>
/** What `vm.reset()` may end with. */
export type ResetErrors = OperationErrors<'vm.reset'>
/** What `vm.restart()` may end with. */
export type RestartErrors = OperationErrors<'vm.restart'>
/** What `vm.edit()` may end with. */
export type EditErrors = OperationErrors<'vm.edit'>
/** What `vm.clone()` may end with. */
export type CloneErrors = OperationErrors<'vm.clone'>
/** What `vm.exportDisk()` may end with. */
export type ExportDiskErrors = OperationErrors<'vm.exportDisk'>
/** What `vm.delete()` may end with. */
export type DeleteErrors = OperationErrors<'vm.delete'>
/** What `vm.unregister()` may end with. */
export type UnregisterErrors = OperationErrors<'vm.unregister'>
/** What `vm.migrate()` may end with. */
export type MigrateErrors = OperationErrors<'vm.migrate'>
/** What `vm.createSnapshot()` may end with. */
export type CreateSnapshotErrors = OperationErrors<'vm.createSnapshot'>
/** What `vm.getSnapshotTree()` may end with. */
export type GetSnapshotTreeErrors = OperationErrors<'vm.getSnapshotTree'>
/** What `vm.switchToSnapshot()` may end with. */
export type SwitchToSnapshotErrors = OperationErrors<'vm.switchToSnapshot'>
/** What `vm.deleteSnapshot()` may end with. */
export type DeleteSnapshotErrors = OperationErrors<'vm.deleteSnapshot'>
/** What `vm.getStatistics()` may end with. */
export type GetStatisticsErrors = OperationErrors<'vm.getStatistics'>
/** What `vm.screenshot()` may end with. */
export type ScreenshotErrors = OperationErrors<'vm.screenshot'>
/** What `vm.sendKeys()` may end with. */
export type SendKeysErrors = OperationErrors<'vm.sendKeys'>
/** What `vm.console()` may end with. */
export type ConsoleErrors = OperationErrors<'vm.console'>
/** What `vm.guest.exec()` may end with. */
export type ExecErrors = OperationErrors<'guest.exec'>
/** What `vm.guest.getNetworkAddresses()` may end with. */
export type GetNetworkAddressesErrors = OperationErrors<'guest.getNetworkAddresses'>
/** What `vm.guest.copyIn()` may end with. */
export type CopyInErrors = OperationErrors<'guest.copyIn'>
/** What `vm.guest.copyOut()` may end with. */
export type CopyOutErrors = OperationErrors<'guest.copyOut'>
/** What `vm.guest.exec()` without `check` may end with. */
export type UncheckedExecErrors = Exclude<ExecErrors, VmErrors['PROGRAM_FAILED']>
/** What `vm.guest.readFile()` may end with. */
export type ReadFileErrors = OperationErrors<'guest.readFile'>
/** What `vm.guest.writeFile()` may end with. */
export type WriteFileErrors = OperationErrors<'guest.writeFile'>
/** What `vm.guest.readdir()` may end with. */
export type ReaddirErrors = OperationErrors<'guest.readdir'>
/** What `vm.guest.stat()`, `lstat()` and `exists()` may end with. */
export type StatErrors = OperationErrors<'guest.stat'>
/** What `vm.guest.mkdir()` may end with. */
export type MkdirErrors = OperationErrors<'guest.mkdir'>
/** What `vm.guest.rm()` may end with. */
export type RmErrors = OperationErrors<'guest.rm'>
/** What `vm.guest.rename()` may end with. */
export type RenameErrors = OperationErrors<'guest.rename'>
/** What `vm.guest.getInfo()` may end with. */
export type GetGuestInfoErrors = OperationErrors<'guest.getInfo'>
/** What `vm.guest.waitUntilReady()` may end with. */
export type WaitUntilReadyErrors = OperationErrors<'guest.waitUntilReady'>
/** What `vm.guest.waitForPort()` may end with. */
export type WaitForPortErrors = OperationErrors<'guest.waitForPort'>
/** What `vm.native.qmp()` may end with. */
export type QmpErrors = OperationErrors<'native.qmp'>
/** What `job.kill()` of a program may end with. */
export type KillErrors = OperationErrors<'job.kill'>
/** What `job.resize()` of a program may end with. */
export type ResizeErrors = OperationErrors<'job.resize'>
/** What `console.waitFor()` may end with. */
export type ConsoleWaitForErrors = OperationErrors<'console.waitFor'>
/** What `job.cancel()` may end with. */
export type CancelErrors = OperationErrors<'job.cancel'>
