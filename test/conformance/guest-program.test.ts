import { NativeGuestProgram } from '../support/native-guest-program.js'
import { describeOnThisMachine } from './on-this-machine.js'

/** What the guest program of the embedded host does, as a process of this machine: in v86 it does the same, but slower. */
describeOnThisMachine(
  {
    name: 'guest-program:',
    driver: 'guest-program',
    unavailable: NativeGuestProgram.missing(),
    refusedExecOptions: ['detached'],
  },
  () => {
    const guest = NativeGuestProgram.start()
    return {
      wayInto: (vm, folder) => ({
        vm,
        driver: 'guest-program',
        run: (program, io, signal) =>
          guest.port.run({ ...program, env: { XDG_RUNTIME_DIR: folder, ...program.env } }, io, signal),
      }),
      [Symbol.asyncDispose]: () => guest[Symbol.asyncDispose](),
    }
  },
)
