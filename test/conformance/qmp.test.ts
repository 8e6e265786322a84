import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { connect } from 'awaitvm'
import { afterAll, beforeAll } from 'vitest'
import { builtInGuest } from '../../src/drivers/embedded/machine/guest.js'
import { type DebianLinux } from '../support/debian-build.js'
import { debianWithAgent } from '../support/debian-with-agent.js'
import { missingTools } from '../support/optional-tool.js'
import { qemusIn } from '../support/qemu-processes.js'
import { execGuest } from './exec-guest.js'
import { GuestLacksError, type GuestProfile } from './guest.js'
import { serialGuest } from './serial-guest.js'
import { describeConformance } from './suite.js'

const folder = mkdtempSync(join(tmpdir(), 'awaitvm-guest-'))
const kernel = join(folder, 'guest.bin')
writeFileSync(kernel, builtInGuest())
afterAll(() => {
  rmSync(folder, { recursive: true })
})

let linux: DebianLinux
beforeAll(async () => {
  linux = await debianWithAgent()
}, 300_000)

function linuxGuest(): GuestProfile {
  if (linux.unavailable !== undefined) {
    const LacksError = process.env['AWAITVM_TEST_HOSTS'] === 'all' ? Error : GuestLacksError
    throw new LacksError(linux.unavailable)
  }
  const { kernel, initrd } = linux
  const spec = { memoryMiB: 128, boot: { kernel, initrd, commandLine: 'console=ttyS0 quiet' } }
  return execGuest({ spec, specWithDisk: { ...spec, disks: [{ sizeMiB: 1 }] } }, {}, 'shell ready')
}

/** What belongs to a running QEMU, or tells who works on a VM, and is not kept. */
const ofRun = /\.(?:sock|log|pid)$|run\.json$|claim\.\d+$/

describeConformance({
  name: 'qmp:///dir',
  driver: 'qmp',
  unavailable: missingTools('qemu-system-x86_64', 'qemu-img'),
  guest: serialGuest({
    spec: { memoryMiB: 16, boot: { kernel } },
    specWithDisk: { memoryMiB: 16, disks: [{ sizeMiB: 1 }], boot: { kernel } },
  }),
  guestWithAgent: linuxGuest,
  keepsVms: true,
  onClose: 'runs-on',
  sharesRunningVms: true,
  withdrawsPowerButton: false,
  afterCrash: 'running',
  async open(options) {
    const directory = await mkdtemp(join(tmpdir(), 'awaitvm-host-'))
    const uri = pathToFileURL(directory).href.replace('file:', 'qmp:')
    return {
      server: await connect(uri, options).unwrap(),
      connectAgain: (again) => connect(uri, again).unwrap(),
      async files() {
        const names = await readdir(join(directory, 'vms'), { recursive: true })
        return names.filter((name) => !ofRun.test(name)).sort()
      },
      async dispose() {
        const server = await connect(uri).unwrap()
        for (const vm of await server.getVmList().unwrap()) {
          if (vm.state !== 'stopped') await vm.stop({ mode: 'kill' }).unwrap()
        }
        await server.close().unwrap()
        const left = await qemusIn(directory)
        await rm(directory, { recursive: true })
        return left.map((pid) => `QEMU ${String(pid)}`)
      },
    }
  },
})
