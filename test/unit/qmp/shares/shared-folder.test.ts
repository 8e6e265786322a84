import { existsSync } from 'node:fs'
import { chmod, mkdir, readFile, rename, rmdir, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { connect, type ShareConfig } from 'awaitvm'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { asUser, otherUser } from '../../../support/as-user.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

let host: QmpHost
let folder: string

beforeEach(async (context) => {
  skipWithout(context, missingQemu)
  host = await QmpHost.open()
  folder = join(host.folder, 'project')
  await mkdir(folder)
})
afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

const shareOf = (path: string, share: Partial<ShareConfig> = {}): ShareConfig => ({
  path,
  tag: 'project',
  readOnly: false,
  type: '9p',
  ...share,
})

/** The message about a share that must be refused by a creation and by an edit, which change nothing. */
async function refusalOf(share: ShareConfig): Promise<string> {
  const spec = { name: 'refused', memoryMiB: 16, shares: [share] }
  const refused = await failureOf(host.server.createVm(spec), 'INVALID_ARGUMENT')
  expect(refused.path).toBe('spec.shares[0].path')
  expect(refused.hint).toBeTruthy()
  expect(await host.server.getVmList().unwrap()).toEqual([])
  const vm = await host.createVm()
  const error = await failureOf(vm.edit({ description: 'half of it', shares: [share] }), 'INVALID_ARGUMENT')
  expect(error.path).toBe('changes.shares[0].path')
  expect(await vm.refresh().unwrap()).toMatchObject({ description: '' })
  await vm.delete().unwrap()
  return refused.message
}

test('a folder that is not there is refused', async () => {
  expect(await refusalOf(shareOf(join(folder, 'missing')))).toContain(`${join(folder, 'missing')}, is not there`)
})

test('a file is refused', async () => {
  await writeFile(join(folder, 'file'), '')
  expect(await refusalOf(shareOf(join(folder, 'file')))).toContain('is no folder')
  expect(await refusalOf(shareOf(join(folder, 'file', 'in it')))).toContain('is no folder')
})

test.each(['/', '/proc', '/sys/kernel', '/proc/self/root'])('%s is refused', async (path) => {
  expect(await refusalOf(shareOf(path, { readOnly: true }))).toMatch(/is a folder of the kernel|contains the VMs of/)
})

test('the folder with the VMs, those above and below, and links there are refused', async () => {
  const paths = { itself: host.directory, above: host.folder, below: join(host.directory, 'vms') }
  for (const [name, path] of Object.entries(paths)) {
    const link = join(folder, name)
    await symlink(path, link)
    for (const each of [path, link]) {
      expect(await refusalOf(shareOf(each, { readOnly: true }))).toMatch(/(?:contains|is among) the VMs of/)
    }
  }
})

test.each(['qmp', 'embedded'])('a folder with VMs of another %s: is refused', async (scheme) => {
  const other = join(folder, 'others')
  await using server = await connect(`${scheme}://${other}`).unwrap()
  expect(server.driver).toBe(scheme)
  for (const path of [other, join(other, 'vms')]) {
    expect(await refusalOf(shareOf(path))).toContain(`is among the VMs of ${other}`)
  }
})

test('a folder that this user may not read is refused', async ({ skip }) => {
  if (process.geteuid?.() !== 0) skip('it takes root to have another user')
  await chmod(host.folder, 0o755)
  await chmod(folder, 0o700)
  await using other = await asUser(otherUser, () => QmpHost.open())
  await asUser(otherUser, async () => {
    const error = await failureOf(
      other.server.createVm({ name: 'web-1', shares: [shareOf(folder)] }),
      'INVALID_ARGUMENT',
    )
    expect(error.message).toContain(`the folder to share, ${folder}, can't be read`)
  })
})

test('settings show the real path of a folder, and QEMU starts with names of all kinds', async () => {
  const odd = join(host.folder, 'a,path=b "c" \'d\' $e\n\u{1F4C1}')
  await mkdir(odd)
  await symlink(odd, join(folder, 'link'))
  const vm = await host.createVm({
    shares: [shareOf(join(folder, 'link')), shareOf(folder, { tag: 'b', readOnly: true })],
  })
  const shares = [shareOf(odd), shareOf(folder, { tag: 'b', readOnly: true })]
  expect(vm.config.shares).toEqual(shares)
  await host.boot(vm)
  await vm.suspend().unwrap()
  await vm.resume().unwrap()
  expect((await vm.clone({ name: 'twin', memory: true }).unwrap()).config.shares).toEqual(shares)
  expect((await vm.clone({ name: 'copy' }).unwrap()).config.shares).toEqual(shares)
})

test.each(['pc', 'q35'] as const)('on a machine %s, shares leave room for all disks and adapters', async (machine) => {
  const shares = Array.from({ length: 8 }, (_, index) => shareOf(folder, { tag: `t${String(index)}` }))
  const disks = Array.from({ length: 16 }, () => ({ sizeMiB: 1 }))
  const networkAdapters = Array.from({ length: 8 }, () => ({}))
  const vm = await host.createVm({ machine, shares, disks, networkAdapters, cloudInit: { hostname: 'full' } })
  await vm.start().unwrap()
  expect(vm.state).toBe('running')
})

test('a VM whose folder is gone does not start, and says what to do', async () => {
  const vm = await host.createVm({ shares: [shareOf(folder)] })
  await rmdir(folder)
  const error = await failureOf(vm.start(), 'INVALID_ARGUMENT')
  expect(error.message).toBe(
    `Cannot start VM "web-1": the folder to share, ${folder}, is not there. Put the folder back, or take the share away with ` +
      'vm.edit({ shares }) while the VM is stopped.',
  )
  expect(error.path).toBe('config.shares[0].path')
  expect(await vm.getState().unwrap()).toBe('stopped')
  await vm.edit({ shares: [] }).unwrap()
  expect(vm.config.shares).toBeUndefined()
  await host.boot(vm)
})

test('a suspended VM keeps its memory while a folder is away', async () => {
  const vm = await host.createVm({ shares: [shareOf(folder)] })
  await host.boot(vm)
  await vm.suspend().unwrap()
  await rename(folder, `${folder}-away`)
  await failureOf(vm.resume(), 'INVALID_ARGUMENT')
  expect(await vm.getState().unwrap()).toBe('suspended')
  await rename(`${folder}-away`, folder)
  await vm.resume().unwrap()
})

test('a VM is not switched to a running snapshot whose folder is gone, and runs on', async () => {
  const vm = await host.createVm({ shares: [shareOf(folder)] })
  await host.boot(vm)
  const snapshot = await vm.createSnapshot({ name: 'running' }).unwrap()
  await rmdir(folder)
  const error = await failureOf(vm.switchToSnapshot(snapshot), 'INVALID_ARGUMENT')
  expect(error.path).toBe('snapshot.shares[0].path')
  expect(error.hint).toContain('delete the snapshot')
  expect(await vm.getState().unwrap()).toBe('running')
})

test('a link in the place of a folder is not followed', async () => {
  const vm = await host.createVm({ shares: [shareOf(folder)] })
  await rmdir(folder)
  await symlink('/etc', folder)
  const error = await failureOf(vm.start(), 'INVALID_ARGUMENT')
  expect(error.message).toContain(`${folder} was a folder, and is a link to /etc now`)
})

test('shares change while the VM is stopped only', async () => {
  const vm = await host.createVm({ shares: [shareOf(folder)] })
  await host.boot(vm)
  const error = await failureOf(vm.edit({ shares: [] }), 'INVALID_STATE')
  expect(error.message).toContain('what it shares with the host only changes while it is stopped')
  await vm.edit({ shares: vm.config.shares, description: 'the same' }).unwrap()
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.edit({ shares: [shareOf(folder, { tag: 'other', readOnly: true })] }).unwrap()
  expect((await vm.refresh().unwrap()).shares).toEqual([shareOf(folder, { tag: 'other', readOnly: true })])
})

test('nothing of a folder is deleted with its VM', async () => {
  const vm = await host.createVm({ shares: [shareOf(folder)] })
  await writeFile(join(folder, 'kept'), 'yes')
  await host.boot(vm)
  await vm.delete({ force: true }).unwrap()
  expect(await readFile(join(folder, 'kept'), 'utf8')).toBe('yes')
})

test('a VM with shares is registered again in its own directory, and refused from elsewhere', async () => {
  const vm = await host.createVm({ shares: [shareOf(folder)] })
  await vm.createSnapshot({ name: 'with shares' }).unwrap()
  await vm.edit({ shares: [] }).unwrap()
  await vm.unregister().unwrap()
  const aside = join(host.directory, 'unregistered', vm.id)
  const elsewhere = join(host.folder, basename(aside))
  await rename(aside, elsewhere)
  const error = await failureOf(host.server.registerVm(elsewhere), 'INVALID_ARGUMENT')
  expect(error.message).toContain(`it shares folders of this computer with its guest: ${folder}`)
  expect(existsSync(elsewhere)).toBe(true)
  await rename(elsewhere, aside)
  await host.server.registerVm(aside).unwrap()
})
