import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { connect } from 'awaitvm'
import { execGuest, GuestMissingError, type GuestProfile } from 'awaitvm/testing/conformance'
import { beforeAll } from 'vitest'
import { type DebianLinux } from '../support/debian-build.js'
import { missingQemu, wantedHosts } from '../support/optional-tool.js'
import { debianWithAgent } from '../support/debian-with-agent.js'
import { qemusIn } from '../support/qemu-processes.js'
import { qmpProfile } from './qmp-profile.js'
import { describeOwnHost } from './own-host.js'

let linux: DebianLinux
beforeAll(async () => {
  linux = await debianWithAgent()
})

function linuxGuest(): GuestProfile {
  if (linux.unavailable !== undefined) {
    // With `all`, a missing guest is a failure.
    if (wantedHosts === 'all') throw new Error(linux.unavailable)
    throw new GuestMissingError(linux.unavailable)
  }
  const { kernel, initrd } = linux
  const spec = { memoryMiB: 128, boot: { kernel, initrd, commandLine: 'console=ttyS0 quiet' } }
  return execGuest({ spec, specWithDisk: { ...spec, disks: [{ sizeMiB: 1 }] } }, {}, 'shell ready')
}

/** Files of a running QEMU, and claims. */
const ofRun = /\.(?:sock|log|pid)$|run\.json$|\/claim(?:,[^/]*)?$/

describeOwnHost({
  ...qmpProfile,
  name: 'qmp:///dir',
  unavailable: missingQemu,
  guestWithAgent: linuxGuest,
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
})

async function stopAll(uri: string): Promise<void> {
  await using server = await connect(uri).unwrap()
  for (const vm of await server.getVmList().unwrap()) {
    if (vm.state !== 'stopped') await vm.stop({ mode: 'kill' }).unwrap()
  }
}
