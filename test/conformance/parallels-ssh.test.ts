import type { Subject } from 'awaitvm/testing/conformance'
import { afterAll } from 'vitest'
import { SshServer } from '../support/ssh-server.js'
import { missingSsh } from '../support/optional-tool.js'
import { parallelsHost } from './parallels-profile.js'
import { describeOwnHost } from './own-host.js'

const ssh = missingSsh === undefined ? await SshServer.start() : undefined
afterAll(async () => {
  await ssh?.[Symbol.asyncDispose]()
})

/** The subjects that depend on how prlctl is run. The rest is its arguments and its output, which are the same. */
const subjects: readonly Subject[] = [
  'connect and info',
  'lifecycle',
  'clone',
  'screen and keys',
  'guest agent',
  'guest programs',
  'guest live output',
  'guest input',
  'guest signals',
  'guest interruptions',
  'guest file copies',
  'close',
]

describeOwnHost(
  { ...parallelsHost('parallels+ssh:', 'desktop', (double) => ssh!.uriOf(double)), unavailable: missingSsh },
  subjects,
)
