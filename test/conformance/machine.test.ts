import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeConformance, execGuest, type Subject } from 'awaitvm/testing/conformance'
import { serverWithMachineGuests } from '../support/machine-guests.js'

/** What the driver kit makes of programs, on the shell of this machine. */
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
    name: 'machine:',
    driver: 'machine',
    guest: {
      ...execGuest({ spec: {}, specWithDisk: { disks: [{ sizeMiB: 1 }] } }, {}),
      listen: [process.execPath, '-e', 'require("node:net").createServer().listen(47113)'],
    },
    specWithoutAgent: { boot: { kernel: '/vmlinuz' } },
    refusedExecOptions: ['pty', 'detached'],
    async open(options) {
      const folder = await mkdtemp(join(tmpdir(), 'awaitvm-host-'))
      return {
        server: serverWithMachineGuests(folder, options),
        async dispose() {
          await rm(folder, { recursive: true })
          return []
        },
      }
    },
  },
  subjects,
)
