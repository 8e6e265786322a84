import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type VmErrorCode } from 'awaitvm'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { LibvirtDaemon, saslUser } from '../../../support/libvirt-daemon.js'
import { missingLibvirt, missingSsh, skipWithout } from '../../../support/optional-tool.js'
import { SshServer } from '../../../support/ssh-server.js'

let plain: LibvirtDaemon
let withPassword: LibvirtDaemon
let ssh: SshServer
const missing = missingLibvirt ?? missingSsh
beforeAll(async () => {
  if (missing !== undefined) return
  ;[plain, withPassword] = await Promise.all([LibvirtDaemon.start(), LibvirtDaemon.start({ authTls: 'sasl' })])
  ssh = await SshServer.start(undefined, plain.enter)
})
afterAll(async () => {
  if (missing !== undefined) return
  for (const part of [ssh, plain, withPassword]) await part[Symbol.asyncDispose]()
})
beforeEach((context) => {
  skipWithout(context, missing)
})

const query = (options: Readonly<Record<string, string>>): string => `?${new URLSearchParams(options).toString()}`
const pki = ({ folder }: LibvirtDaemon): { readonly pkipath: string } => ({ pkipath: join(folder, 'pki') })
const throughTls = ({ ports }: LibvirtDaemon, user = ''): string => `test+tls://${user}127.0.0.1:${ports.tls}/default`
const login = ({ user, password }: { user: string; password: string }): string =>
  `${encodeURIComponent(user)}:${encodeURIComponent(password)}@`
const throughSsh = (): { readonly uri: string; readonly options: Readonly<Record<string, string>> } => ({
  uri: `test+ssh://127.0.0.1:${ssh.port}/default`,
  options: { keyfile: join(ssh.folder, 'user'), no_verify: '1' },
})

/** Whether a VM is seen, changed and told of through the connection. */
async function expectWorks(uri: string): Promise<void> {
  await using server = await connect(uri).unwrap()
  const vm = await server.getVm('test').unwrap()
  const events = server.events({ types: ['state'] })[Symbol.asyncIterator]()
  const told = events.next()
  await vm.pause().unwrap()
  expect((await told).value).toMatchObject({ type: 'state', name: 'test', state: 'paused', reason: 'request' })
  await vm.resume().unwrap()
  expect(vm.state).toBe('running')
  expect(Buffer.from(await vm.screenshot().unwrap()).toString('latin1', 1, 4)).toBe('PNG')
  await events.return()
}

async function expectFails(uri: string, code: VmErrorCode, words: string): Promise<void> {
  const connected = await connect(uri)
  if (connected.isOk()) await connected.value.close()
  expect(connected.isErr() && connected.error).toMatchObject({ code, message: expect.stringContaining(words) })
}

test('a Unix socket', () => expectWorks(`test:///default${query({ socket: plain.socket })}`))

test('TCP', () => expectWorks(`test+tcp://127.0.0.1:${plain.ports.tcp}/default`))

test('the output of a program', async () => {
  const command = join(plain.folder, 'to-socket')
  await writeFile(command, `#!/bin/sh\nexec nc -U ${plain.socket}\n`)
  await chmod(command, 0o700)
  await expectWorks(`test+ext:///default${query({ command })}`)
})

describe('TLS', () => {
  test('with a certificate of the client', () => expectWorks(`${throughTls(plain)}${query(pki(plain))}`))

  test('with a password by SCRAM-SHA-256, in the URI', () =>
    expectWorks(`${throughTls(withPassword, login(saslUser))}${query(pki(withPassword))}`))

  test("with a password in libvirt's file for them", async () => {
    const authfile = join(withPassword.folder, 'auth.conf')
    const { user, password } = saslUser
    await writeFile(
      authfile,
      `[auth-libvirt-127.0.0.1]\ncredentials=c\n[credentials-c]\nauthname=${user}\npassword=${password}\n`,
    )
    await expectWorks(`${throughTls(withPassword)}${query({ ...pki(withPassword), authfile })}`)
  })

  test('a wrong password', () => {
    const wrong = login({ ...saslUser, password: 'wrong' })
    const uri = `${throughTls(withPassword, wrong)}${query(pki(withPassword))}`
    return expectFails(uri, 'AUTHENTICATION_FAILED', 'authentication failed')
  })

  test('no password', () =>
    expectFails(
      `${throughTls(withPassword)}${query(pki(withPassword))}`,
      'AUTHENTICATION_FAILED',
      'wants a user and a password',
    ))

  test('a host whose certificate is of another authority', () =>
    expectFails(
      `${throughTls(plain)}${query(pki(withPassword))}`,
      'AUTHENTICATION_FAILED',
      'the certificate of 127.0.0.1 is not accepted',
    ))

  test('a client whose certificate the host does not know', () =>
    expectFails(
      `${throughTls(plain)}${query({ ...pki(withPassword), no_verify: '1' })}`,
      'AUTHENTICATION_FAILED',
      "does not accept this client's certificate",
    ))

  test('no certificates at all', async () => {
    const pkipath = join(plain.folder, 'empty')
    await mkdir(pkipath)
    await expectFails(`${throughTls(plain)}${query({ pkipath })}`, 'AUTHENTICATION_FAILED', 'cacert.pem')
  })
})

describe('ssh', () => {
  test("with libvirt's helper on the host", async () => {
    const { uri, options } = throughSsh()
    await expectWorks(`${uri}${query(options)}`)
  })

  test('with netcat', async () => {
    const { uri, options } = throughSsh()
    await expectWorks(`${uri}${query({ ...options, proxy: 'netcat' })}`)
  })

  test('with a key that the host does not know', async () => {
    const { uri, options } = throughSsh()
    const keyfile = join(ssh.folder, 'host')
    await expectFails(`${uri}${query({ ...options, keyfile })}`, 'AUTHENTICATION_FAILED', 'Permission denied')
  })
})

test('nothing that listens', async () => {
  await expectFails('test:///default?socket=/nonexistent', 'CONNECTION_FAILED', 'does not answer')
  await expectFails('qemu+tcp://127.0.0.1:1/system', 'CONNECTION_FAILED', 'does not answer')
})

test('something that listens, and is no libvirt', () =>
  expectFails(`test+tcp://127.0.0.1:${ssh.port}/default`, 'PROTOCOL_ERROR', 'a frame of'))

test('virsh sees what awaitvm did, and awaitvm what virsh did', async () => {
  await using server = await connect(`test:///default${query({ socket: plain.socket })}`).unwrap()
  const vm = await server.createVm({ name: 'é "1"', description: 'a & b', labels: { job: '1' } }).unwrap()
  expect(await plain.virsh('test:///default', 'domuuid', 'é "1"')).toContain(vm.id)
  expect(await plain.virsh('test:///default', 'desc', vm.id)).toContain('a & b')
  await plain.virsh('test:///default', 'start', vm.id)
  expect(await vm.getState().unwrap()).toBe('running')
  await vm.pause().unwrap()
  expect(await plain.virsh('test:///default', 'domstate', vm.id)).toContain('paused')
  await plain.virsh('test:///default', 'destroy', vm.id)
  expect(await vm.getState().unwrap()).toBe('stopped')
  await vm.delete().unwrap()
  await expect(plain.virsh('test:///default', 'domstate', vm.id)).rejects.toThrow()
})
