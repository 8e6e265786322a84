import { guestOperationRows } from './guest-operation-rows.js'
import { anyCall, inGuest, inState, onGuestFile, onVm, type OperationSpec } from './operation-spec.js'

export type { AnswerKind, JobTarget, OperationSpec } from './operation-spec.js'

/** Longest wait for a guest to shut down: init systems commonly give their services 90 seconds. */
const shutdownTimeoutMs = 120_000

/** QEMU answers within milliseconds, but for commands that write a guest's memory to a file. */
const qmpTimeoutMs = 60_000

const atRest = ['stopped', 'suspended', 'crashed'] as const

const table = {
  connect: { phrase: 'connect to', needs: 'connection', isCancelable: true, isQuery: true, errors: anyCall },
  'server.getInfo': { phrase: 'get information about', answers: 'hostInfo', isQuery: true, errors: anyCall },
  'server.getVmList': { phrase: 'list the VMs of', answers: 'vms', isQuery: true, errors: anyCall },
  'server.getVm': { phrase: 'find the VM on', answers: 'vm', isQuery: true, errors: onVm },
  'server.createVm': {
    phrase: 'create the VM on',
    answers: 'vm',
    isJob: true,
    isCancelable: true,
    to: 'stopped',
    errors: [...anyCall, 'ALREADY_EXISTS', 'FIRMWARE_NOT_FOUND'],
  },
  'server.registerVm': {
    phrase: 'register the VM on',
    answers: 'vm',
    isJob: true,
    errors: [...anyCall, 'ALREADY_EXISTS'],
  },
  'server.getJobs': {
    phrase: 'list the jobs of',
    answers: 'jobs',
    needs: 'connection',
    isQuery: true,
    errors: anyCall,
  },
  'server.attachJob': {
    phrase: 'attach to a job of',
    answers: 'outcome',
    isCancelable: true,
    errors: [...onGuestFile, 'ALREADY_EXISTS', 'SNAPSHOT_NOT_FOUND', 'FIRMWARE_NOT_FOUND'],
  },
  'images.list': { phrase: 'list the images of', answers: 'cachedImages', isQuery: true, errors: anyCall },
  'images.fetch': {
    phrase: 'fetch an image for',
    answers: 'cachedImage',
    isQuery: true,
    isCancelable: true,
    errors: anyCall,
  },
  'images.remove': { phrase: 'remove an image of', answers: 'nothing', errors: anyCall },
  'server.close': { phrase: 'close', needs: 'connection', errors: anyCall },
  'vm.getState': { phrase: 'get the state of', answers: 'state', isQuery: true, errors: onVm },
  'vm.refresh': { phrase: 'refresh', needs: 'server.getVm', isQuery: true, errors: onVm },
  'vm.waitForState': {
    phrase: 'wait for a state of',
    needs: 'vm.getState',
    isCancelable: true,
    isQuery: true,
    errors: onVm,
  },
  'vm.start': {
    phrase: 'start',
    answers: 'state',
    isJob: true,
    isCancelable: true,
    from: ['stopped', 'crashed'],
    through: 'starting',
    to: 'running',
    errors: [...inState, 'FIRMWARE_NOT_FOUND', 'GUEST_UNAVAILABLE'],
  },
  'vm.stop': {
    phrase: 'stop',
    answers: 'state',
    isJob: true,
    isCancelable: true,
    from: ['running'],
    fromKill: ['stopped', 'running', 'paused', 'suspended', 'crashed', 'unknown'],
    through: 'stopping',
    to: 'stopped',
    timeoutMs: shutdownTimeoutMs,
    errors: [...inState, 'GUEST_UNAVAILABLE'],
  },
  'vm.pause': {
    phrase: 'pause',
    answers: 'state',
    isJob: true,
    from: ['running'],
    through: 'pausing',
    to: 'paused',
    errors: inState,
  },
  'vm.resume': {
    phrase: 'resume',
    answers: 'state',
    isJob: true,
    isCancelable: true,
    from: ['paused', 'suspended'],
    through: 'resuming',
    to: 'running',
    errors: [...inState, 'FIRMWARE_NOT_FOUND'],
  },
  'vm.suspend': {
    phrase: 'suspend',
    answers: 'state',
    isJob: true,
    isCancelable: true,
    from: ['running', 'paused'],
    through: 'suspending',
    to: 'suspended',
    errors: [...inState, 'FIRMWARE_NOT_FOUND'],
  },
  'vm.reset': {
    phrase: 'reset',
    answers: 'state',
    isJob: true,
    from: ['running', 'paused'],
    through: 'resetting',
    to: 'running',
    errors: [...inState, 'FIRMWARE_NOT_FOUND'],
  },
  'vm.restart': {
    phrase: 'restart',
    answers: 'state',
    isJob: true,
    isCancelable: true,
    from: ['running'],
    through: 'resetting',
    to: 'running',
    timeoutMs: shutdownTimeoutMs,
    errors: [...inState, 'FIRMWARE_NOT_FOUND', 'GUEST_UNAVAILABLE'],
  },
  'vm.edit': {
    phrase: 'edit',
    answers: 'vm',
    isJob: true,
    from: ['stopped', 'running', 'paused', 'suspended', 'crashed'],
    errors: [...inState, 'ALREADY_EXISTS', 'FIRMWARE_NOT_FOUND'],
  },
  'vm.clone': {
    phrase: 'clone',
    answers: 'vm',
    isJob: true,
    isCancelable: true,
    from: ['stopped', 'running', 'paused', 'crashed'],
    fromMemory: ['running', 'paused', 'suspended'],
    through: 'cloning',
    errors: [...inState, 'ALREADY_EXISTS', 'SNAPSHOT_NOT_FOUND', 'FIRMWARE_NOT_FOUND'],
  },
  'vm.exportDisk': {
    phrase: 'export a disk of',
    answers: 'nothing',
    isJob: true,
    isCancelable: true,
    from: ['stopped', 'running', 'paused', 'suspended', 'crashed'],
    errors: [...inState, 'ALREADY_EXISTS'],
  },
  'vm.delete': { phrase: 'delete', answers: 'nothing', isJob: true, from: atRest, errors: inState },
  'vm.unregister': { phrase: 'unregister', answers: 'nothing', isJob: true, from: atRest, errors: inState },
  'vm.migrate': {
    phrase: 'migrate',
    answers: 'nothing',
    isJob: true,
    isCancelable: true,
    from: ['stopped', 'running', 'paused', 'suspended'],
    through: 'migrating',
    errors: [...inState, 'ALREADY_EXISTS'],
  },
  'vm.createSnapshot': {
    phrase: 'create a snapshot of',
    answers: 'snapshot',
    isJob: true,
    isCancelable: true,
    from: ['stopped', 'running', 'paused', 'crashed'],
    through: 'snapshotting',
    errors: [...inState, 'ALREADY_EXISTS', 'FIRMWARE_NOT_FOUND'],
  },
  'vm.getSnapshotTree': { phrase: 'list the snapshots of', answers: 'snapshots', isQuery: true, errors: onVm },
  'vm.switchToSnapshot': {
    phrase: 'switch the snapshot of',
    answers: 'state',
    isJob: true,
    from: ['stopped', 'running', 'paused', 'suspended', 'crashed'],
    through: 'snapshotting',
    errors: [...inState, 'SNAPSHOT_NOT_FOUND', 'FIRMWARE_NOT_FOUND'],
  },
  'vm.deleteSnapshot': {
    phrase: 'delete a snapshot of',
    answers: 'nothing',
    isJob: true,
    from: ['stopped', 'running', 'paused', 'suspended', 'crashed'],
    errors: [...inState, 'SNAPSHOT_NOT_FOUND'],
  },
  'vm.getStatistics': {
    phrase: 'get statistics of',
    answers: 'statistics',
    isQuery: true,
    from: ['running', 'paused'],
    errors: inState,
  },
  'vm.screenshot': {
    phrase: 'take a screenshot of',
    answers: 'image',
    isQuery: true,
    from: ['running', 'paused'],
    errors: inState,
  },
  'vm.sendKeys': { phrase: 'send keys to', answers: 'nothing', from: ['running'], errors: inState },
  'vm.console': {
    phrase: 'open the console of',
    answers: 'console',
    isQuery: true,
    from: ['running', 'paused'],
    errors: inState,
  },
  ...guestOperationRows,
  'native.qmp': {
    phrase: 'send a QMP command to',
    answers: 'json',
    from: ['running', 'paused'],
    timeoutMs: qmpTimeoutMs,
    errors: inState,
  },
  'console.waitFor': {
    phrase: 'wait for the console of',
    isQuery: true,
    isCancelable: true,
    errors: inState,
  },
  'job.cancel': { phrase: 'cancel a job on', errors: ['JOB_NOT_CANCELABLE', 'JOB_FINISHED'] },
  'job.kill': { phrase: 'send a signal to a program in', errors: [...inGuest, 'JOB_FINISHED'] },
  'job.resize': { phrase: 'resize the terminal of a program in', errors: [...inGuest, 'JOB_FINISHED'] },
  'job.all': { phrase: 'finish all jobs', errors: anyCall },
  'job.any': { phrase: 'finish any job', errors: anyCall },
  'job.race': { phrase: 'finish the first job', errors: anyCall },
  'job.settled': { phrase: 'wait for all jobs', errors: ['INVALID_ARGUMENT'] },
  batch: { phrase: 'run the batch', errors: ['INVALID_ARGUMENT'] },
} as const satisfies Record<string, OperationSpec>

/**
 * Every operation, and all that is known of it. The first word of its code says what it works on: a host, a VM, the agent in a VM's
 * guest, what only one kind of host has, or a job. Derived from it are the methods of the facades, what drivers implement and answer, the check of states, the
 * wording of messages, the types of errors, the actions of the simulated host, and the calls of the conformance suite.
 */
export const operations: typeof table = table

/** `'vm.start'`, `'server.getVmList'`, ... */
export type OperationCode = keyof typeof operations

/** An operation that a driver carries out. */
export type DriverOperation = {
  [O in OperationCode]: (typeof operations)[O] extends Required<Pick<OperationSpec, 'answers'>> ? O : never
}[OperationCode]

/** All codes of the table, in its order. */
export const operationCodes = Object.keys(operations) as readonly OperationCode[]

/** Whether a driver carries the operation out. */
export const isDriverOperation = (code: OperationCode): code is DriverOperation => 'answers' in operations[code]

/** All features: what a host may or may not do within an operation, or beside them. */
export const features = [
  /** `vm.clone({ linked: true })` */
  'vm.clone.linked',
  /** `vm.clone({ memory: true })` */
  'vm.clone.memory',
  /** `vm.clone({ ephemeral: true })` */
  'vm.clone.ephemeral',
  /** `vm.exportDisk` in other formats than raw */
  'vm.exportDisk.formats',
  /** `vm.edit` of hardware while the VM runs */
  'vm.edit.live',
  /** `server.events()` includes what other processes do */
  'server.events.global',
] as const

/** `'vm.clone.linked'`, `'vm.edit.live'`, ... */
export type Feature = (typeof features)[number]

/** An operation or a feature, as in `server.capabilities`. */
export type Capability = OperationCode | Feature
