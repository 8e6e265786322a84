import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Server, Vm } from 'awaitvm'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { SshGuests } from '../../src/ssh/ssh-guests.js'
import { soon } from '../../src/testing/conformance/deadline.js'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { serverWithMachineGuests } from '../support/machine-guests.js'
import { missingSsh, skipWithout } from '../support/optional-tool.js'
import { SshServer } from '../support/ssh-server.js'
import { SocketProxy } from '../support/socket-proxy.js'

let sshd: SshServer
let proxy: SocketProxy
let guests: SshGuests
let server: Server
let vm: Vm
let folder: string

beforeAll(async () => {
  if (missingSsh === undefined) sshd = await SshServer.start()
})
afterAll(async () => {
  if (missingSsh === undefined) await sshd[Symbol.asyncDispose]()
})

beforeEach(async (context) => {
  skipWithout(context, missingSsh)
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-ssh-faults-'))
  await mkdir(join(folder, 'guest'))
  proxy = await SocketProxy.to(sshd.port)
  guests = new SshGuests()
  const { user, privateKeyFile, hostKey } = await sshd.login()
  server = serverWithMachineGuests((id) =>
    guests.wayInto({
      vm: id,
      driver: 'machine',
      access: { way: 'ssh', user, privateKeyFile, hostKey },
      address: { host: '127.0.0.1', port: proxy.port },
      life: '1',
      look: () => Promise.resolve('running'),
      pin: (key) => Promise.resolve(key),
    }),
  )
  vm = await server.createVm({ name: 'web-1' }).unwrap()
  await vm.start().unwrap()
})
afterEach(async () => {
  if (missingSsh !== undefined) return
  await server.close()
  await guests.close(Promise.resolve())
  await proxy[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

const inGuest = (name: string): string => join(folder, 'guest', name)

/** The connection is cut once something of the data has passed. */
const cutOnProgress = (progress: { readonly percent?: number | undefined }): void => {
  if ((progress.percent ?? 0) > 0) proxy.cut()
}

/** A file of the size, which takes no room. */
async function sparse(path: string, size: number): Promise<void> {
  await using file = await open(path, 'w')
  await file.truncate(size)
}

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield await Promise.resolve(Buffer.alloc(65_536))
}

/** Nothing but these names is in the guest's folder, soon. */
const expectInGuest = (...names: readonly string[]): Promise<void> =>
  vi.waitFor(async () => expect((await readdir(join(folder, 'guest'))).sort()).toEqual(names), soon)

/** The next operation works, by a connection of its own. */
async function expectNextWorks(): Promise<void> {
  expect((await vm.guest.exec(['echo', 'next']).unwrap()).stdout).toBe('next\n')
}

test('a connection that is cut while a program prints: its outcome is unknown, and it ends in the guest', async () => {
  const pidFile = inGuest('pid')
  const program = vm.guest.exec(`echo $$ > ${pidFile}; echo begun; exec sleep 2001`)
  await program.stdout.take(1).toArray()
  proxy.cut()
  await failureOf(program, 'OUTCOME_UNKNOWN')
  const pid = Number(await readFile(pidFile, 'utf8'))
  await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'), soon)
  await expectNextWorks()
})

test('a connection that is cut while a program reads its input', async () => {
  const program = vm.guest.exec('head -c 1000000 >/dev/null; echo enough; cat >/dev/null', { input: endless() })
  await program.stdout.take(1).toArray()
  proxy.cut()
  await failureOf(program, 'OUTCOME_UNKNOWN')
  await expectNextWorks()
})

test('a connection that was cut while it was idle is replaced by another one', async () => {
  await expectNextWorks()
  proxy.cut()
  await expectNextWorks()
})

test('a connection that is cut while a file is read', async () => {
  await sparse(inGuest('big'), 2 ** 28)
  const stream = vm.guest.createReadStream(inGuest('big'))
  stream.once('data', () => {
    proxy.cut()
  })
  await expect(stream.toArray()).rejects.toMatchObject({ code: 'GUEST_UNAVAILABLE' })
  await expectNextWorks()
})

test('a connection that is cut while a file is written leaves the old one, and no draft', async () => {
  await writeFile(inGuest('file'), 'old')
  let pieces = 0
  const input = (async function* () {
    for await (const piece of endless()) {
      pieces += 1
      if (pieces === 50) proxy.cut()
      yield piece
    }
  })()
  await failureOf(vm.guest.writeFile(inGuest('file'), input), 'OUTCOME_UNKNOWN')
  await expectInGuest('file')
  expect(await readFile(inGuest('file'), 'utf8')).toBe('old')
})

test.each([
  ['file', 'big'],
  ['folder', 'many'],
])('a connection that is cut while a %s is copied in leaves nothing', async (_kind, name) => {
  await sparse(join(folder, 'big'), 2 ** 28)
  await mkdir(join(folder, 'many'))
  for (const file of ['a', 'b', 'c']) await sparse(join(folder, 'many', file), 2 ** 26)
  const copy = vm.guest.copyIn(join(folder, name), inGuest('copy'), { onProgress: cutOnProgress })
  await failureOf(copy, 'OUTCOME_UNKNOWN')
  await expectInGuest()
  await expectNextWorks()
})

test('a connection that is cut while a file or a folder is copied out leaves nothing here', async () => {
  await mkdir(inGuest('many'))
  await mkdir(join(folder, 'here'))
  for (const name of ['a', 'b', 'c']) await sparse(join(inGuest('many'), name), 2 ** 26)
  for (const path of ['many', 'many/a']) {
    const copy = vm.guest.copyOut(inGuest(path), join(folder, 'here', 'copy'), { onProgress: cutOnProgress })
    await failureOf(copy, 'GUEST_UNAVAILABLE')
    expect(await readdir(join(folder, 'here'))).toEqual([])
  }
  await expectNextWorks()
})

test(
  'a connection that goes silent is given up after some time, and another one is made',
  { timeout: 180_000 },
  async () => {
    const program = vm.guest.exec('echo begun; exec sleep 2008')
    await program.stdout.take(1).toArray()
    proxy.stall()
    await failureOf(program, 'OUTCOME_UNKNOWN')
    await expectNextWorks()
  },
)
