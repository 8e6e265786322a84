import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { connect } from 'awaitvm'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Child } from '../support/child-process.js'
import { GatedQemuImg } from '../support/gated-qemu-img.js'
import { isAlive } from '../support/native-guest-program.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'

let folder: string
let image: string
let qemuImg: GatedQemuImg
beforeEach(async (context) => {
  skipWithout(context, missingQemu)
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-conversion-'))
  image = join(folder, 'image.vmdk')
  execFileSync('qemu-img', ['create', '-q', '-f', 'vmdk', image, '8M'])
  vi.stubEnv('AWAITVM_CACHE', join(folder, 'cache'))
  qemuImg = GatedQemuImg.install(folder)
  qemuImg.hold('convert')
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true })
})

const creating = (directory: string): Child =>
  new Child('conversion-child.ts', [`qmp://${join(folder, directory)}`, image])

/** The image that a process has made its VM of. */
async function imageOf(child: Child): Promise<string> {
  await child.ended()
  const [, path = ''] = /^done (.*)$/.exec(child.lines.at(-1) ?? '') ?? []
  expect(path, child.lines.join('\n')).not.toBe('')
  return path
}

/** The conversion is whole, and is all that the cache has. */
async function expectOnly(path: string): Promise<void> {
  execFileSync('qemu-img', ['check', '-q', '-f', 'qcow2', path])
  await using server = await connect(`qmp://${join(folder, 'vms')}`).unwrap()
  expect(await server.images.list().unwrap()).toMatchObject([{ path, source: image, isComplete: true }])
  expect((await readdir(dirname(path))).sort()).toEqual(whole)
}

/** What the folder of a complete image has. */
const whole = ['claim', 'image', 'image.json']

/** Uses the cache for another image. */
async function convertAnother(): Promise<void> {
  const other = join(folder, 'other.vmdk')
  execFileSync('qemu-img', ['create', '-q', '-f', 'vmdk', other, '8M'])
  qemuImg.hold(undefined)
  await using server = await connect(`qmp://${join(folder, 'another')}`).unwrap()
  await server.createVm({ name: 'web-1', disks: [{ image: other }] }).unwrap()
}

test('two processes that want the same image convert it once', async () => {
  await using first = creating('vms')
  const conversion = await qemuImg.called('convert', 1)
  await using second = creating('others')
  await second.printed('waiting')
  await qemuImg.letThrough(conversion)
  const path = await imageOf(first)
  expect(await imageOf(second)).toBe(path)
  expect(qemuImg.calls('convert')).toEqual([conversion])
  await expectOnly(path)
})

test('a process that waits converts the image itself if the other one is killed, whatever the program of that does', async () => {
  await using first = creating('vms')
  const orphan = await qemuImg.called('convert', 1)
  await using second = creating('others')
  await second.printed('waiting')
  await first.kill()
  const conversion = await qemuImg.called('convert', 2)
  await qemuImg.letThrough(orphan)
  await expect.poll(() => isAlive(orphan)).toBe(false)
  await qemuImg.letThrough(conversion)
  const path = await imageOf(second)
  execFileSync('qemu-img', ['check', '-q', '-f', 'qcow2', path])
  // The orphan may have made its file anew.
  await convertAnother()
  expect((await readdir(dirname(path))).sort()).toEqual(whole)
})

test('what a killed process has left is removed by the next one that uses the cache', async () => {
  await using first = creating('vms')
  const orphan = await qemuImg.called('convert', 1)
  await first.kill()
  await qemuImg.letThrough(orphan)
  await expect.poll(() => isAlive(orphan)).toBe(false)
  const cache = join(folder, 'cache', 'images')
  expect(await readdir(cache)).toEqual([expect.stringMatching(/^file-[0-9a-f]{64}-qcow2$/), 'processes'])
  await convertAnother()
  expect((await readdir(cache)).filter((name) => name.startsWith('file-'))).toHaveLength(1)
})

test('an image that another connection removes while a VM is made of it makes no VM', async () => {
  qemuImg.hold('create')
  await using first = await connect(`qmp://${join(folder, 'vms')}`).unwrap()
  await using second = await connect(`qmp://${join(folder, 'vms')}`).unwrap()
  const job = second.createVm({ name: 'web-1', disks: [{ image }, { sizeMiB: 1 }] })
  await qemuImg.letThrough(await qemuImg.called('create', 1))
  const creation = await qemuImg.called('create', 2)
  const [listed] = await first.images.list().unwrap()
  expect(listed).toMatchObject({ isComplete: true, usedBy: [] })
  await first.images.remove(listed?.id ?? '').unwrap()
  await qemuImg.letThrough(creation)
  const refused = await job
  expect(refused.isErr() && refused.error).toMatchObject({ code: 'INVALID_ARGUMENT', path: 'config.disks[0].image' })
  expect(await second.getVmList().unwrap()).toEqual([])
})

test('an image of VMs in another directory is not removed, also if a VM was moved there', async () => {
  qemuImg.hold(undefined)
  await using host = await connect(`qmp://${join(folder, 'vms')}`).unwrap()
  await using embedded = await connect('embedded:').unwrap()
  const vm = await host.createVm({ name: 'web-1', disks: [{ image }] }).unwrap()
  const [listed] = await embedded.images.list().unwrap()
  const id = listed?.id ?? ''
  const removing = async (): Promise<unknown> => {
    const result = await embedded.images.remove(id)
    return result.isErr() ? result.error.message : 'removed'
  }
  expect(await removing()).toContain(`VMs in ${join(folder, 'vms', 'vms')} start from the image`)
  await vm.migrate(`qmp://${join(folder, 'others')}`).unwrap()
  expect(await removing()).toContain(`VMs in ${join(folder, 'others', 'vms')} start from the image`)
  await using others = await connect(`qmp://${join(folder, 'others')}`).unwrap()
  await (await others.getVm('web-1').unwrap()).delete().unwrap()
  expect(await removing()).toBe('removed')
})
