import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeConformance, execGuest, type Subject } from 'awaitvm/testing/conformance'
import type { GuestWay } from '../../src/guest/guest-way.js'
import { serverWithMachineGuests } from '../support/machine-guests.js'
import { NativeGuestProgram } from '../support/native-guest-program.js'

/** What the guest program of the embedded host does, as a process of this machine: in v86 it does the same, but slower. */
const subjects: readonly Subject[] = [
  'guest programs',
  'guest live output',
  'guest input',
  'guest signals',
  'guest terminals',
  'guest files',
  'guest file copies',
  'guest folder copies',
  'guest hostile',
  'guest ready',
]

describeConformance(
  {
    name: 'guest-program:',
    driver: 'guest-program',
    unavailable: NativeGuestProgram.missing(),
    guest: {
      ...execGuest({ spec: {}, specWithDisk: { disks: [{ sizeMiB: 1 }] } }, {}),
      listen: [process.execPath, '-e', 'require("node:net").createServer().listen(47113)'],
    },
    specWithoutAgent: { boot: { kernel: '/vmlinuz' } },
    async open(options) {
      const folder = await mkdtemp(join(tmpdir(), 'awaitvm-host-'))
      const guest = NativeGuestProgram.start()
      const wayInto = (vm: string): GuestWay => ({
        vm,
        driver: 'guest-program',
        // What may be there once after each boot goes into a folder of its own.
        run: (program, io, signal) =>
          guest.port.run({ ...program, env: { XDG_RUNTIME_DIR: folder, ...program.env } }, io, signal),
      })
      return {
        server: serverWithMachineGuests(folder, options, wayInto),
        async dispose() {
          await guest[Symbol.asyncDispose]()
          await rm(folder, { recursive: true })
          return []
        },
      }
    },
  },
  subjects,
)
