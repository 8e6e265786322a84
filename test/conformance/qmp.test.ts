import { beforeAll } from 'vitest'
import { type DebianLinux } from '../support/debian-build.js'
import { debianWithAgent } from '../support/debian-with-agent.js'
import { debianGuest } from './debian-guest.js'
import { qmpHost } from './qmp-profile.js'
import { describeOwnHost } from './own-host.js'

let linux: DebianLinux
beforeAll(async () => {
  linux = await debianWithAgent()
})

describeOwnHost({
  ...qmpHost,
  name: 'qmp:///dir',
  guestWithAgent: () => debianGuest(linux, { memoryMiB: 128 }),
  refusedExecOptions: ['pty'],
})
