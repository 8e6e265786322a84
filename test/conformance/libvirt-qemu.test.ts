import { connect, type Server } from 'awaitvm'
import { noGuest } from 'awaitvm/testing/conformance'
import { afterAll, beforeAll } from 'vitest'
import { subjects } from '../../src/testing/conformance/cases.js'
import { LibvirtDaemon } from '../support/libvirt-daemon.js'
import { missingLibvirt } from '../support/optional-tool.js'
import { describeOwnHost } from './own-host.js'

let daemon: LibvirtDaemon
beforeAll(async () => {
  if (missingLibvirt !== undefined) return
  daemon = await LibvirtDaemon.start()
  // At the first connection, libvirt looks at each QEMU of the machine, which takes seconds.
  await removeAll()
  await daemon.definePool()
})
afterAll(async () => {
  if (missingLibvirt === undefined) await daemon[Symbol.asyncDispose]()
})

const uri = (): string => `qemu:///system?socket=${daemon.socket}`

/** What a case has left. It is removed with the next host, which is the same daemon. */
async function removeAll(): Promise<void> {
  await using server: Server = await connect(uri()).unwrap()
  for (const vm of await server.getVmList().unwrap()) await vm.delete({ force: true }).unwrap()
}

/** A VM without a disk can have no snapshot. */
const guest = {
  ...noGuest({ missing: 'this host is described for what is kept of VMs' }),
  spec: { disks: [{ sizeMiB: 1 }] },
  specWithDisk: { disks: [{ sizeMiB: 1 }] },
}

/** QEMU with volumes in a real daemon, and VMs without a guest. */
describeOwnHost(
  {
    name: 'qemu:///system',
    driver: 'libvirt',
    unavailable: missingLibvirt,
    guest,
    refusedSettings: [
      'spec.ephemeral',
      'spec.boot.videoFirmware',
      'spec.boot.firmware',
      'spec.native.arguments',
      'spec.networkAdapters.network',
      'spec.networkAdapters.portForwards',
      'spec.shares',
      'spec.guest',
      'spec.tpm',
    ],
    networkAdapter: { network: { hostNetwork: 'default' } },
    maxNameBytes: 247,
    copiesImages: true,
    keepsDiskOrder: true,
    keepsVms: true,
    onClose: 'runs-on',
    sharesRunningVms: true,
    refusedFrom: { 'vm.edit.name': ['running', 'paused', 'suspended'] },
    async open(options) {
      return {
        server: await connect(uri(), options).unwrap(),
        connectAgain: (again) => connect(uri(), again).unwrap(),
        files: () => daemon.volumes(),
        async dispose() {
          await removeAll()
          return await daemon.volumes()
        },
      }
    },
  },
  subjects,
)
