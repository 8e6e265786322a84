import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { connect } from 'awaitvm'
import { type ConformanceHost, serialGuest } from 'awaitvm/testing/conformance'
import { missingQemu } from '../support/optional-tool.js'
import { qemusIn } from '../support/qemu-processes.js'
import { guestKernel } from './guest-kernel.js'

/** Files of a running QEMU, and claims. */
const ofRun = /\.(?:sock|log|pid)$|run\.json$|\/claim(?:,[^/]*)?$/

/** Documented traits of QEMU. */
export const qmpProfile = {
  driver: 'qmp',
  guest: serialGuest({
    spec: { memoryMiB: 16, boot: { kernel: guestKernel } },
    specWithDisk: { memoryMiB: 16, disks: [{ sizeMiB: 1 }], boot: { kernel: guestKernel } },
  }),
  keepsVms: true,
  onClose: 'runs-on',
  sharesRunningVms: true,
  withdrawsPowerButton: false,
  afterCrash: 'running',
} as const satisfies Partial<ConformanceHost>

/** QEMU on this machine, with a directory for each test. */
export const qmpHost = {
  ...qmpProfile,
  unavailable: missingQemu,
  async open(options) {
    const directory = await mkdtemp(join(tmpdir(), 'awaitvm-host-'))
    const other = await mkdtemp(join(tmpdir(), 'awaitvm-host-'))
    const uriOf = (folder: string): string => pathToFileURL(folder).href.replace('file:', 'qmp:')
    const uri = uriOf(directory)
    return {
      server: await connect(uri, options).unwrap(),
      connectAgain: (again) => connect(uri, again).unwrap(),
      registrationPath({ id }) {
        const aside = join(directory, 'unregistered', id)
        return existsSync(aside) ? aside : join(directory, 'vms', id)
      },
      migrationTarget: uriOf(other),
      async files() {
        const names = await readdir(join(directory, 'vms'), { recursive: true })
        return names.filter((name) => !ofRun.test(name)).sort()
      },
      async dispose() {
        const left: number[] = []
        for (const folder of [directory, other]) {
          await stopAll(uriOf(folder))
          left.push(...(await qemusIn(folder)))
          await rm(folder, { recursive: true })
        }
        return left.map((pid) => `QEMU ${String(pid)}`)
      },
    }
  },
} as const satisfies Partial<ConformanceHost>

async function stopAll(uri: string): Promise<void> {
  await using server = await connect(uri).unwrap()
  for (const vm of await server.getVmList().unwrap()) {
    if (vm.state !== 'stopped') await vm.stop({ mode: 'kill' }).unwrap()
  }
}
