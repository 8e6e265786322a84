import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import type { GuestAccess, Vm } from 'awaitvm'
import * as v from 'valibot'
import { beforeEach, expect, test } from 'vitest'
import { parse } from 'yaml'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { missingQemu, missingSsh, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'
import { SshServer } from '../../../support/ssh-server.js'

beforeEach((context) => {
  skipWithout(context, missingQemu ?? missingSsh)
})

const user = userInfo().username

const userDataSchema = v.object({
  ssh_authorized_keys: v.tuple([v.string()]),
  ssh_keys: v.object({ ed25519_private: v.string() }),
})

/** An ssh server with the keys that the seed of a VM gives to the guest. */
function serverOf(host: QmpHost, vm: Vm): Promise<SshServer> {
  const { instanceId = '' } = vm.config.cloudInit ?? {}
  const image = readFileSync(join(host.folderOf(vm), `seed-${instanceId}.iso`), 'latin1')
  const [, userData = ''] = image.slice(25 * 2048).split(/\0+/)
  const { ssh_authorized_keys: authorized, ssh_keys: keys } = v.parse(userDataSchema, parse(userData))
  return SshServer.start({ hostKey: keys.ed25519_private, authorizedKey: authorized[0] })
}

/** The way to a server in place of the guest's. */
const wayTo = ({ port }: SshServer): GuestAccess => ({ way: 'ssh', user, host: '127.0.0.1', port })

const whoAmI = (vm: Vm): Promise<string> =>
  vm.guest
    .exec(['id', '-un'])
    .unwrap()
    .then(({ stdout }) => stdout.trim())

test('a guest is reached by the key that its seed told it of, and no other one, also when the seed is gone', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ cloudInit: {}, guest: { way: 'ssh', user } })
  await using server = await serverOf(host, vm)
  await vm.edit({ guest: wayTo(server) }).unwrap()
  await host.boot(vm)
  expect(await whoAmI(vm)).toBe(user)
  // Nothing had to be trusted, so that nothing is pinned.
  expect((await vm.refresh().unwrap()).guest).toEqual(wayTo(server))

  const clone = await vm.clone({ name: 'clone' }).unwrap()
  await host.boot(clone)
  const error = await failureOf(clone.guest.exec(['true']), 'AUTHENTICATION_FAILED')
  expect(error.message).toContain('is pinned')
  await using its = await serverOf(host, clone)
  await clone.edit({ guest: wayTo(its) }).unwrap()
  expect(await whoAmI(clone)).toBe(user)

  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.edit({ cloudInit: false }).unwrap()
  await host.boot(vm)
  expect(await whoAmI(vm)).toBe(user)
  await vm.stop({ mode: 'kill' }).unwrap()
  const twin = await vm.clone({ name: 'twin', linked: true }).unwrap()
  await host.boot(twin)
  expect(await whoAmI(twin)).toBe(user)
})

test('a host key that was given is forgotten when a new seed gives another one', async () => {
  await using host = await QmpHost.open()
  const hostKey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBOPGpL3d0Q96yFQ71XcJq/4F1RvZTRpbMNK2q2viG6J'
  const vm = await host.createVm({ cloudInit: {}, guest: { way: 'ssh', user, hostKey } })
  expect((await vm.clone({ name: 'clone' }).unwrap()).config.guest).toEqual({ way: 'ssh', user })
  expect((await vm.edit({ cloudInit: {} }).unwrap()).guest).toEqual({ way: 'ssh', user })
  expect((await vm.edit({ cloudInit: {}, guest: { way: 'ssh', user, hostKey } }).unwrap()).guest).toMatchObject({
    hostKey,
  })
  await vm.edit({ cloudInit: false }).unwrap()
  expect((await vm.clone({ name: 'twin' }).unwrap()).config.guest).toMatchObject({ hostKey })
})

test('without a key of its own, a VM is refused the way by SSH that names none', async () => {
  await using host = await QmpHost.open()
  const guest: GuestAccess = { way: 'ssh', user }
  const creation = await failureOf(host.server.createVm({ name: 'a', guest }), 'INVALID_ARGUMENT')
  expect(creation.path).toBe('spec.guest.privateKeyFile')
  const vm = await host.createVm()
  const edit = await failureOf(vm.edit({ guest }), 'INVALID_ARGUMENT')
  expect(edit.path).toBe('changes.guest.privateKeyFile')
  await failureOf(vm.edit({ guest, cpus: 2 }), 'INVALID_ARGUMENT')
  expect((await vm.edit({ guest, cloudInit: {} }).unwrap()).guest).toEqual(guest)
})
