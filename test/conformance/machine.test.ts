import { MachineWay } from '../support/machine-way.js'
import { describeOnThisMachine } from './on-this-machine.js'

/** The shell of this machine. */
describeOnThisMachine({ name: 'machine:', driver: 'machine', refusedExecOptions: ['pty', 'detached'] }, () => ({
  wayInto: (vm, folder) => new MachineWay(vm, folder),
  [Symbol.asyncDispose]: () => Promise.resolve(),
}))
