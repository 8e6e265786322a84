import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { connect } from 'awaitvm'
import { afterAll } from 'vitest'
import { builtInGuest } from '../../src/drivers/embedded/machine/guest.js'
import { missingTools } from '../support/optional-tool.js'
import { qemusIn } from '../support/qemu-processes.js'
import { serialGuest } from './serial-guest.js'
import { describeConformance } from './suite.js'

const folder = mkdtempSync(join(tmpdir(), 'awaitvm-guest-'))
const kernel = join(folder, 'guest.bin')
writeFileSync(kernel, builtInGuest())
afterAll(() => {
  rmSync(folder, { recursive: true })
})

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
