import type { DriverOperation } from '../../driver/driver.js'

/** What a connection asks of its host: the operations, and to be let in. */
export type SimulatedOperation = DriverOperation | 'connect'

interface Traits {
  /**
   * Whether it can be stopped on its way, as on real hosts: what copies, boots or waits can, and what changes one thing can't. A
   * shutdown can be taken back until the guest has taken note of it. Anything can be while it waits in line for its VM.
   */
  readonly isCancelable: boolean
  /** Whether the host keeps it as a job, with a token: what changes a VM. No host keeps what is done inside of a guest. */
  readonly isJob: boolean
}

const look: Traits = { isCancelable: false, isJob: false }
const step: Traits = { isCancelable: false, isJob: true }
const work: Traits = { isCancelable: true, isJob: true }
/** Takes its time, and changes no VM. */
const wait: Traits = { isCancelable: true, isJob: false }

export const traits: Readonly<Record<SimulatedOperation, Traits>> = {
  connect: wait,
  'server.getInfo': look,
  'server.getVmList': look,
  'server.getVm': look,
  'server.createVm': work,
  'server.registerVm': step,
  'server.getJobs': look,
  'server.attachJob': wait,
  'vm.getState': look,
  'vm.start': work,
  'vm.stop': work,
  'vm.pause': step,
  'vm.resume': work,
  'vm.suspend': work,
  'vm.reset': step,
  'vm.restart': work,
  'vm.edit': step,
  'vm.clone': work,
  'vm.delete': step,
  'vm.unregister': step,
  'vm.migrate': work,
  'vm.createSnapshot': work,
  'vm.getSnapshotTree': look,
  'vm.switchToSnapshot': step,
  'vm.deleteSnapshot': step,
  'vm.getStatistics': look,
  'vm.screenshot': look,
  'vm.sendKeys': look,
  'vm.console': look,
  'guest.exec': wait,
  'guest.getNetworkAddresses': look,
  'guest.copyIn': wait,
  'guest.copyOut': wait,
}
