import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConformanceHost, describeConformance, execGuest, type Subject } from 'awaitvm/testing/conformance'
import type { GuestWay } from '../../src/guest/guest-way.js'
import { serverWithMachineGuests } from '../support/machine-guests.js'

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

/** A way to run programs on this machine, for one case. */
interface MachineGuest extends AsyncDisposable {
  /** @param folder what is there once after each boot: its `XDG_RUNTIME_DIR` */
  wayInto(vm: string, folder: string): GuestWay
}

/** Conformance of a way to run programs, with this machine as the guest: what the driver kit makes of them. */
export function describeOnThisMachine(
  host: Pick<ConformanceHost, 'name' | 'unavailable' | 'refusedExecOptions'> & { readonly driver: string },
  start: () => MachineGuest,
): void {
  describeConformance(
    {
      ...host,
      guest: {
        ...execGuest({ spec: {}, specWithDisk: { disks: [{ sizeMiB: 1 }] } }, {}),
        listen: [process.execPath, '-e', 'require("node:net").createServer().listen(47113)'],
      },
      specWithoutAgent: { boot: { kernel: '/vmlinuz' } },
      async open(options) {
        const folder = await mkdtemp(join(tmpdir(), 'awaitvm-host-'))
        const guest = start()
        return {
          server: serverWithMachineGuests((vm) => guest.wayInto(vm, folder), options),
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
}
