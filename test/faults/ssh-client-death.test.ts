import { existsSync } from 'node:fs'
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { Vm } from 'awaitvm'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { patience, soon } from '../../src/testing/conformance/deadline.js'
import { Child } from '../support/child-process.js'
import { debianWithSsh, type DebianWithSsh } from '../support/debian-with-ssh.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'
import { whatIsInGuest } from '../support/what-is-in-guest.js'

let linux: DebianWithSsh | undefined
let host: QmpHost
let vm: Vm

const unavailable = (): string | undefined => missingQemu ?? linux?.unavailable

beforeAll(async () => {
  if (missingQemu !== undefined) return
  linux = await debianWithSsh()
  if (linux.unavailable !== undefined) return
  const { kernel, initrd, userKey, hostKey } = linux
  host = await QmpHost.open()
  vm = await host.createVm({
    memoryMiB: 256,
    boot: { kernel, initrd, commandLine: 'console=ttyS0 quiet' },
    networkAdapters: [{ portForwards: [{ guestPort: 22 }] }],
    guest: { way: 'ssh', user: 'root', privateKeyFile: userKey, hostKey },
  })
  await vm.start().unwrap()
  await vm.guest.waitUntilReady(patience).unwrap()
}, 300_000)
afterAll(async () => {
  if (unavailable() === undefined) await host[Symbol.asyncDispose]()
})
beforeEach((context) => {
  skipWithout(context, unavailable())
})

/** Soon, nothing is in the guest that was not there before. What an earlier test started may be gone since. */
const expectNothingLeft = (before: readonly string[]): Promise<void> =>
  vi.waitFor(async () => expect((await whatIsInGuest(vm)).filter((line) => !before.includes(line))).toEqual([]), soon)

test.each([
  'a silent program',
  'a program as another user',
  'a program that prints',
  'a program that reads',
  'a program with a terminal',
  'a file that is written',
])('%s of a process that is killed ends, and leaves nothing', { timeout: 180_000 }, async (work) => {
  const before = await whatIsInGuest(vm)
  const child = new Child('guest-child.ts', [host.uri, work, '', '/root/written'])
  await child.printed('reached')
  await child.kill()
  await expectNothingLeft(before)
})

test.each(['file', 'folder'])(
  'a copy of a %s by a process that is killed leaves nothing',
  { timeout: 180_000 },
  async (kind) => {
    const here = join(host.folder, kind)
    if (kind === 'folder') await mkdir(here)
    await using file = await open(kind === 'folder' ? join(here, 'big') : here, 'w')
    await file.truncate(2 ** 30)
    const before = await whatIsInGuest(vm)
    const copyIn = new Child('guest-child.ts', [host.uri, 'copyIn', here, '/root/copy'])
    await copyIn.printed('reached')
    await copyIn.kill()
    await expectNothingLeft(before)

    const [mkdirs, big] = kind === 'folder' ? ['mkdir /root/there &&', '/root/there/big'] : ['', '/root/there']
    await vm.guest.exec(`${mkdirs} dd if=/dev/null of=${big} bs=1 seek=1073741824`, { check: true }).unwrap()
    const to = join(host.folder, `${kind}-out`)
    const copyOut = new Child('guest-child.ts', [host.uri, 'copyOut', to, '/root/there'])
    await copyOut.printed('reached')
    await copyOut.kill()
    await vm.guest.rm('/root/there', { recursive: true }).unwrap()
    await expectNothingLeft(before)
    expect(existsSync(to)).toBe(false)
  },
)
