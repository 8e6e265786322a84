/** The texts of the SDK's errors, as prlctl prints them after "Failed to ...: ". */
export const texts = {
  notFound: () =>
    'The virtual machine could not be found. The virtual machine is not registered in the virtual machine directory on your Mac.',
  nameTaken: (name: string) =>
    `Unable to register the virtual machine. The name "${name}" is already used by another virtual machine. Specify a different name and try again.`,
  alreadyRegistered: (path: string) =>
    `Unable to complete the operation. The virtual machine already exists in "${path}".`,
  notStarted: () =>
    'Unable to perform the operation because the virtual machine is not started. Start the virtual machine and try again.',
  running: (name: string) =>
    `The virtual machine "${name}" is running. You or another user have already started this virtual machine.`,
  // The quotes are those of prlctl.
  wrongState: (name: string, state: string) =>
    `The operation cannot be completed because the virtual machine "${name} is in the "${state}" state. Stop the virtual machine and try again.`,
  notSuspended: () => 'The virtual machine is not suspended.',
  pauseFailed: () => 'Unable to pause the virtual machine.',
  template: () => 'You cannot start virtual machine templates.',
  lockedExecute: () =>
    'Unable to perform the action because the virtual machine is busy. The virtual machine is currently running.',
  lockedClone: () =>
    'Unable to perform the action because the virtual machine is busy. The virtual machine is being cloned.',
  lockedInternal: () =>
    'Unable to perform the action because the virtual machine is busy. The virtual machine is locked due to some internal reason. Please try again later.',
  mustBeStoppedToRename: (name: string) =>
    `You cannot rename the virtual machine "${name}" because it is running, paused or suspended. Stop it and try again.`,
  mustBeStoppedForDevices: () =>
    'The device cannot be added or removed while the virtual machine is running. Stop the virtual machine and try again.',
  canceled: () => 'Operation canceled. The operation has been canceled by the user.',
  sync: () =>
    'The operation cannot be performed at the moment. Data synchronization is currently in progress in the virtual machine.',
  noSession: () =>
    'Unable to open new session in this virtual machine. Make sure the latest version of Parallels Tools is installed in this virtual machine and it has finished booting.',
  snapshotNotFound: (id: string) => `Unable to find the snapshot ID ${id} in the snapshot tree.`,
  fileNotFound: (path: string) => `"${path}" could not be found. Make sure that this file exists and try again.`,
  noService: () => 'Unable to connect to Parallels Service. Make sure it is running.',
  connectionLost: () =>
    'Connection to Parallels Dispatcher Service was lost. There may be connection problems or the server may be down.',
  edition: () => 'This feature is not available in this edition of Parallels Desktop.',
  ioStopped: () => 'PrlJob_Wait: PRL_ERR_IO_STOPPED',
} as const

/** Ends the command: an error text for stderr, and the exit code. */
export class Failure extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode = 255) {
    super(message)
    this.exitCode = exitCode
  }
}
