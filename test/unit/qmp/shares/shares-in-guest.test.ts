import { lstat, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Vm } from 'awaitvm'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { bootAgentGuest } from '../../../support/agent-guest.js'
import { debianWithShares } from '../../../support/debian-with-agent.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

let unavailable: string | undefined
let host: QmpHost
let vm: Vm
let work: string
let papers: string

/** A Debian guest that sees two folders of the host, one of them only to read. */
beforeAll(async () => {
  unavailable = missingQemu ?? (await debianWithShares()).unavailable
  if (unavailable !== undefined) return
  host = await QmpHost.open()
  work = join(host.folder, 'work')
  papers = join(host.folder, 'papers')
  await mkdir(work)
  await mkdir(papers)
  await writeFile(join(work, 'from-host'), 'written on the host')
  await writeFile(join(papers, 'page'), 'to be read')
  await writeFile(join(host.folder, 'secret'), 'of the host')
  await symlink('../secret', join(papers, 'out'))
  await symlink('page', join(papers, 'in'))
  const shares = [
    { path: work, tag: 'job' },
    { path: papers, tag: 'papers', readOnly: true },
  ]
  vm = (await bootAgentGuest(host, { memoryMiB: 256, shares }, debianWithShares)).vm
}, 300_000)
afterAll(async () => {
  if (unavailable === undefined) await host[Symbol.asyncDispose]()
})
beforeEach((context) => {
  skipWithout(context, unavailable)
})

const timeout = 180_000

/** What a command in the guest prints. */
const inGuest = async (command: string): Promise<string> =>
  (await vm.guest.exec(command, { check: true }).unwrap()).stdout.trim()
const mounts = `mkdir -p /job /papers
  for tag in job papers; do mount -t 9p -o trans=virtio,version=9p2000.L,msize=131072 $tag /$tag || exit 1; done`
const unmounts = 'umount /job && umount /papers'

test('a guest reads and writes the files of the host', { timeout }, async () => {
  await inGuest(mounts)
  expect(await inGuest('cat /job/from-host')).toBe('written on the host')
  await inGuest('mkdir /job/folder; echo written in the guest >/job/folder/from-guest')
  expect(await readFile(join(work, 'folder', 'from-guest'), 'utf8')).toBe('written in the guest\n')
  await writeFile(join(work, 'later'), 'while it is mounted')
  expect(await inGuest('cat /job/later; rm -r /job/later /job/folder; ls /job')).toBe('while it is mountedfrom-host')
})

test('the host refuses to write to what a guest may only read', { timeout }, async () => {
  expect(await inGuest('cat /papers/page; cat /papers/in')).toBe('to be readto be read')
  for (const command of ['echo x >/papers/page', 'rm /papers/page', 'mkdir /papers/new', 'chmod 777 /papers/page']) {
    const { exitCode, stderr } = await vm.guest.exec(command).unwrap()
    expect([exitCode === 0, stderr]).toEqual([false, expect.stringContaining('Read-only file system')])
  }
  expect(await readFile(join(papers, 'page'), 'utf8')).toBe('to be read')
})

test('a link leads nowhere outside of the folder: the guest follows it by itself', { timeout }, async () => {
  await inGuest('echo of the guest >/secret; ln -s /secret /job/absolute; ln -s ../secret /job/relative')
  expect(await inGuest('cat /job/absolute /job/relative /papers/out')).toBe('of the guest\n'.repeat(3).trim())
  await inGuest('rm /job/absolute /job/relative')
})

test(
  'of a QEMU that runs as root, a guest makes neither devices nor programs with the rights of root',
  { timeout },
  async ({ skip }) => {
    if (process.geteuid?.() !== 0) skip('it is for root')
    await inGuest('cd /job; cp /bin/busybox shell; chmod 4755 shell; mknod disk b 8 0; ln -s /etc/passwd link')
    expect(await inGuest('cd /job; stat -c %a%F shell; stat -c %F disk; readlink link')).toBe(
      '4755regular file\nblock special file\n/etc/passwd',
    )
    for (const name of ['shell', 'disk', 'link']) {
      const stats = await lstat(join(work, name))
      expect([stats.isFile(), stats.mode & 0o7777]).toEqual([true, 0o600])
    }
    await inGuest('cd /job; rm shell disk link')
  },
)

test('memory is not saved while a share is mounted, and the guest goes on', { timeout }, async () => {
  const before = await host.server.getVmList().unwrap()
  for (const save of [
    () => vm.suspend(),
    () => vm.createSnapshot({ name: 'running' }),
    () => vm.clone({ name: 'twin', memory: true }),
  ]) {
    const error = await failureOf(save(), 'INVALID_STATE')
    expect(error.message).toContain('its guest has mounted what it shares with the host ("job", "papers")')
    expect(error.hint).toContain('Unmount it in the guest, with umount')
    expect(await vm.getState().unwrap()).toBe('running')
    expect(await inGuest('cat /job/from-host')).toBe('written on the host')
  }
  expect(await host.server.getVmList().unwrap()).toHaveLength(before.length)
  expect(await vm.getSnapshotTree().unwrap()).toEqual([])
})

test('once it is unmounted, a VM is suspended, resumed, and cloned with its memory', { timeout }, async () => {
  await inGuest(unmounts)
  await vm.suspend().unwrap()
  await writeFile(join(work, 'from-host'), 'written while it was suspended')
  await vm.resume().unwrap()
  await inGuest(mounts)
  expect(await inGuest('cat /job/from-host')).toBe('written while it was suspended')
  await inGuest(unmounts)
  const twin = await vm.clone({ name: 'twin', memory: true }).unwrap()
  const { stdout } = await twin.guest.exec(`${mounts}; cat /job/from-host`, { check: true }).unwrap()
  expect(stdout).toBe('written while it was suspended')
  await twin.delete({ force: true }).unwrap()
})

test('after a restart, the guest finds the shares by the same tags', { timeout }, async () => {
  await vm.stop({ mode: 'kill' }).unwrap()
  await vm.edit({ shares: [...(vm.config.shares ?? [])].reverse() }).unwrap()
  await vm.start({ until: 'ready', timeoutMs: 120_000 }).unwrap()
  await inGuest(mounts)
  expect(await inGuest('cat /papers/page')).toBe('to be read')
})
