/** The machine is off or has crashed, and can't handle the request. */
export class MachineStoppedError extends Error {
  override readonly name = 'MachineStoppedError'

  constructor() {
    super('The machine is no longer there')
  }
}
