/** The machine is off or has crashed, and so can't do what it was asked for. */
export class MachineStoppedError extends Error {
  override readonly name = 'MachineStoppedError'

  constructor() {
    super('The machine is no longer there')
  }
}
