import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { connect } from 'awaitvm'
import { GuestLacksError } from 'awaitvm/testing/conformance'
import { embeddedProfile } from './embedded-profile.js'
import { describeOwnHost } from './own-host.js'

describeOwnHost({
  ...embeddedProfile,
  name: 'embedded:///dir',
  keepsVms: true,
  guestWithAgent() {
    throw new GuestLacksError('its guests are those of embedded:, which the cases of programs and files run on')
  },
  async open(options) {
    const directory = await mkdtemp(join(tmpdir(), 'awaitvm-host-'))
    const uri = pathToFileURL(directory).href.replace('file:', 'embedded:')
    return {
      server: await connect(uri, options).unwrap(),
      connectAgain: (again) => connect(uri, again).unwrap(),
      // The files beside them mark and lock the directory.
      files: async () => (await readdir(join(directory, 'vms'), { recursive: true })).sort(),
      async dispose() {
        const left = await openFilesIn(directory)
        await rm(directory, { recursive: true })
        return left
      },
    }
  },
})

/** The files in a folder that this process has open, if the system tells. */
async function openFilesIn(directory: string): Promise<readonly string[]> {
  const descriptors = await readdir('/proc/self/fd').catch(() => [])
  const files = await Promise.all(descriptors.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
  return files.filter((file) => file.startsWith(directory))
}
