import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { parse } from 'yaml'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { bootAgentGuest } from '../../../support/agent-guest.js'
import { debianWithAgent } from '../../../support/debian-with-agent.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

const seedsOf = (host: QmpHost, vm: Pick<Vm, 'id'>): string[] =>
  readdirSync(host.folderOf(vm)).filter((name) => name.startsWith('seed-'))

/** The files in the VM's seed, each of which is shorter than a sector, and follows the ones before by their names. */
function readSeed(host: QmpHost, vm: Vm): { readonly metaData: unknown; readonly userData: unknown } {
  const { instanceId = '' } = vm.config.cloudInit ?? {}
  const image = readFileSync(join(host.folderOf(vm), `seed-${instanceId}.iso`), 'latin1')
  const [metaData = '', userData = ''] = image.slice(25 * 2048).split(/\0+/)
  return { metaData: parse(metaData), userData: parse(userData) }
}

const metaDataOf = ({ config }: Vm): unknown => ({
  'instance-id': config.cloudInit?.instanceId,
  'local-hostname': config.cloudInit?.hostname,
})

const settings = { packages: ['git'] } as const
/** The rest are keys. */
const userData = { packages: ['git'] }

test('a seed is a file of the VM that only its user can read, and a read-only disk of its own', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ cloudInit: settings, cdroms: [] })
  expect(vm.config.cloudInit).toEqual({ hostname: 'web-1', instanceId: expect.stringMatching(/^[0-9a-f-]{36}$/) })
  expect(readSeed(host, vm)).toMatchObject({ metaData: metaDataOf(vm), userData })
  expect(seedsOf(host, vm)).toHaveLength(3)
  for (const file of seedsOf(host, vm)) expect(statSync(join(host.folderOf(vm), file)).mode & 0o777).toBe(0o600)
  expect(readFileSync(join(host.folderOf(vm), 'vm.json'), 'utf8')).not.toContain('git')
  await host.boot(vm)
  expect((await host.server.getVm('web-1').unwrap()).config).toEqual(vm.config)

  const bare = await host.createVm({ name: 'bare' })
  expect(bare.config).not.toHaveProperty('cloudInit')
  expect(seedsOf(host, bare)).toEqual([])
})

test('clones of either kind, also of a running VM, are other instances; a host name that is the name of the VM follows theirs', async () => {
  await using host = await QmpHost.open()
  const disks = [{ sizeMiB: 1 }]
  const named = await host.createVm({ cloudInit: { ...settings, hostname: 'web-1' }, disks })
  const linked = await named.clone({ name: 'web-2', linked: true }).unwrap()
  await host.boot(named)
  const full = await named.clone({ name: 'web-3' }).unwrap()
  const again = await full.clone({ name: 'web-4' }).unwrap()
  const fixed = await host.createVm({ name: 'db', cloudInit: { hostname: 'db.example.org' }, disks })
  const other = await fixed.clone({ name: 'db-2', linked: true }).unwrap()
  const all = [named, linked, full, again, fixed, other]
  expect(all.map(({ config }) => config.cloudInit?.hostname)).toEqual([
    ...['web-1', 'web-2', 'web-3', 'web-4'],
    ...['db.example.org', 'db.example.org'],
  ])
  expect(new Set(all.map(({ config }) => config.cloudInit?.instanceId)).size).toBe(all.length)
  for (const vm of [named, linked, full, again]) {
    expect(readSeed(host, vm)).toMatchObject({ metaData: metaDataOf(vm), userData })
    expect(seedsOf(host, vm)).toHaveLength(3)
  }
  await named.delete({ force: true }).unwrap()
  await host.boot(linked)
})

test('an edit replaces the seed or takes it away, and snapshots keep theirs', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ cloudInit: settings, disks: [{ sizeMiB: 1 }] })
  const { cloudInit: first } = vm.config
  const snapshot = await vm.createSnapshot({ name: 'first' }).unwrap()

  const { cloudInit: second } = await vm.edit({ cloudInit: { hostname: 'second' }, cpus: 2 }).unwrap()
  expect(second).toMatchObject({ hostname: 'second' })
  expect(second?.instanceId).not.toBe(first?.instanceId)
  expect(seedsOf(host, vm)).toHaveLength(6)

  const taken = await vm.edit({ cloudInit: false, name: 'renamed' }).unwrap()
  expect(taken).not.toHaveProperty('cloudInit')
  // Its key stays, and the seed of the snapshot.
  expect(seedsOf(host, vm)).toHaveLength(4)
  await host.boot(vm)
  await vm.stop({ mode: 'kill' }).unwrap()

  await vm.switchToSnapshot(snapshot).unwrap()
  await vm.refresh().unwrap()
  expect(vm.config.cloudInit).toEqual(first)
  expect(readSeed(host, vm)).toMatchObject({ metaData: metaDataOf(vm), userData })
  await vm.edit({ cloudInit: false }).unwrap()
  await vm.deleteSnapshot(snapshot).unwrap()
  expect(seedsOf(host, vm)).toEqual([`seed-${first!.instanceId}.key`])
})

test('a running or suspended VM keeps its seed, with its memory', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ cloudInit: settings, disks: [{ sizeMiB: 1 }] })
  const before = vm.config.cloudInit
  await host.boot(vm)
  const error = await failureOf(vm.edit({ cloudInit: false }), 'INVALID_STATE')
  expect(error.message).toContain('its seed for cloud-init only changes while it is stopped')
  await failureOf(vm.edit({ cloudInit: settings }), 'INVALID_STATE')
  const snapshot = await vm.createSnapshot({ name: 'running' }).unwrap()
  await vm.suspend().unwrap()
  await failureOf(vm.edit({ cloudInit: false }), 'INVALID_STATE')
  await vm.resume().unwrap()
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.edit({ cloudInit: false }).unwrap()
  await vm.switchToSnapshot(snapshot).unwrap()
  expect(vm.state).toBe('running')
  expect((await vm.refresh().unwrap()).cloudInit).toEqual(before)
  expect(seedsOf(host, vm)).toHaveLength(3)
})

test('what is wrong or too large is refused before anything is made', async () => {
  await using host = await QmpHost.open()
  const content = 'x'.repeat(2 ** 20)
  const files = Array.from({ length: 9 }, (_, index) => ({ path: `/f${String(index)}`, content }))
  const error = await failureOf(host.server.createVm({ name: 'large', cloudInit: { files } }), 'INVALID_ARGUMENT')
  expect(error.path).toBe('spec.cloudInit')
  expect(error.message).toContain('may have 8388608')
  expect(readdirSync(join(host.directory, 'vms'))).toEqual([])

  const vm = await host.createVm({ cloudInit: settings })
  const edit = await failureOf(vm.edit({ cloudInit: { files }, cpus: 2 }), 'INVALID_ARGUMENT')
  expect(edit.path).toBe('changes.cloudInit')
  expect(await vm.refresh().unwrap()).toMatchObject({ cpus: 1, cloudInit: vm.config.cloudInit })
  expect(seedsOf(host, vm)).toHaveLength(3)
})

test.each(['iso', 'json'])(
  'a VM without the file seed-*.%s is refused by its name, with the way out',
  async (ending) => {
    await using host = await QmpHost.open()
    const vm = await host.createVm({ cloudInit: settings })
    const path = join(
      host.folderOf(vm),
      seedsOf(host, vm).find((name) => name.endsWith(ending))!,
    )
    rmSync(path)
    for (const refused of [vm.start(), vm.clone({ name: 'a' }), vm.clone({ name: 'b', linked: true })]) {
      const { message, hint } = await failureOf(refused, 'PROTOCOL_ERROR')
      expect(message).toContain(path)
      expect(hint).toContain('vm.edit({ cloudInit: false })')
    }
    await vm.edit({ cloudInit: false }).unwrap()
    await host.boot(vm)
  },
)

test('a clone of settings that somebody has damaged is refused by their file', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm({ cloudInit: settings })
  const path = join(
    host.folderOf(vm),
    seedsOf(host, vm).find((name) => name.endsWith('json'))!,
  )
  for (const content of ['{', '{"packages":[5]}', '{"later":1}']) {
    writeFileSync(path, content)
    const error = await failureOf(vm.clone({ name: 'clone' }), 'PROTOCOL_ERROR')
    expect(error.message).toContain(path)
  }
  expect(readdirSync(join(host.directory, 'vms'))).toEqual([vm.id])
})

test('a VM that is registered elsewhere has its seed, and is refused without it', async () => {
  await using host = await QmpHost.open()
  await using other = await QmpHost.open()
  const vm = await host.createVm({ cloudInit: settings })
  await vm.unregister().unwrap()
  const folder = join(host.directory, 'unregistered', vm.id)
  const image = join(
    folder,
    readdirSync(folder).find((name) => name.endsWith('.iso'))!,
  )
  renameSync(image, `${folder}.aside`)
  const error = await failureOf(other.server.registerVm(folder), 'INVALID_ARGUMENT')
  expect(error.message).toContain(image)
  renameSync(`${folder}.aside`, image)
  const back = await other.server.registerVm(folder).unwrap()
  expect(back.config).toEqual(vm.config)
  expect(seedsOf(other, back)).toHaveLength(3)
})

test('Linux sees the seed as its last disk, with its label and its files, and can read but not write it', async (context) => {
  skipWithout(context, (await debianWithAgent()).unavailable)
  await using host = await QmpHost.open()
  const { vm } = await bootAgentGuest(host, {
    cloudInit: { ...settings, userData: '#!/bin/sh\n', networkConfig: { version: 2 }, vendorData: { ntp: null } },
    disks: Array.from({ length: 6 }, () => ({ sizeMiB: 1 })),
  })
  const run = async (command: string): Promise<string> => {
    const { stdout, stderr } = await vm.guest.exec(['sh', '-c', command]).unwrap()
    return `${stdout}${stderr}`.trim()
  }
  // The disks come first.
  const disk = '/dev/vdg'
  const label = { offset: 16 * 2048 + 40, length: 'cidata'.length }
  expect(await run(`tail -c +${String(label.offset + 1)} ${disk} | head -c ${String(label.length)}`)).toBe('cidata')
  await run(`mkdir /seed && mount -t iso9660 -o ro ${disk} /seed`)
  expect(await run('ls /seed')).toBe('meta-data\nnetwork-config\nuser-data\nvendor-data')
  expect(parse(await run('cat /seed/meta-data'))).toEqual(metaDataOf(vm))
  expect(await run('cat /seed/network-config')).toBe('"version": 2')
  expect(await run(`echo x > ${disk}`)).not.toBe('')
  expect(await run('cat /sys/block/vdg/ro')).toBe('1')
})
