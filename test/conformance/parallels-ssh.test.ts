import { afterAll } from 'vitest'
import { SshServer, sshMissing } from '../support/ssh-server.js'
import { parallelsHost } from './parallels-profile.js'
import { describeConformance } from './suite.js'

const ssh = sshMissing === undefined ? await SshServer.start() : undefined
afterAll(async () => {
  await ssh?.[Symbol.asyncDispose]()
})

/** What depends on how the programs are run; the rest is what they are given and what they print, which is the same. */
const subjects = ['connect and info', 'lifecycle', 'clone', 'screen and keys', 'guest agent', 'close']

describeConformance(
  { ...parallelsHost('parallels+ssh:', 'desktop', (double) => ssh!.uriOf(double)), unavailable: sshMissing },
  subjects,
)
