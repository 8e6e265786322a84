import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Server } from 'awaitvm'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ImageServer, status } from '../../../support/image-server.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { qcow2Image } from '../qcow2-image.js'

const mebibyte = 2 ** 20

let folder: string
let images: ImageServer
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-fetched-'))
  vi.stubEnv('AWAITVM_CACHE', join(folder, 'cache'))
  images = await ImageServer.listen(Buffer.alloc(2 * mebibyte, 0xc0))
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await images[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

const path = (): string => join(folder, 'cache', 'images', `sha256-${images.sha256}`, 'image')
const disk = () => ({ image: images.url(), sha256: images.sha256 })

describe.each(['embedded', 'qmp'])('%s', (scheme) => {
  let server: Server
  beforeEach(async (context) => {
    if (scheme === 'qmp') skipWithout(context, missingQemu)
    server = await connect(`${scheme}://${join(folder, 'vms')}`).unwrap()
  })
  afterEach(() => server.close().unwrap())

  test('a disk is made of an image that is fetched, and so are others without a second download', async () => {
    const phases: (string | undefined)[] = []
    const vm = await server
      .createVm({ name: 'web-1', disks: [disk()] }, { onProgress: ({ phase }) => void phases.push(phase) })
      .unwrap()
    expect(vm.config.disks).toMatchObject([{ image: path() }])
    expect(phases).toContain('fetching image')

    await server.createVm({ name: 'web-2', disks: [disk()] }).unwrap()
    const edited = await vm.edit({ disks: [...vm.config.disks, { ...disk(), sizeMiB: 4 }] }).unwrap()
    expect(edited.disks[1]).toMatchObject({ image: path(), sizeMiB: 4 })
    expect(edited.disks[1]).not.toHaveProperty('sha256')
    expect(images.ranges).toHaveLength(1)
  })

  test('an image of a VM, or of a snapshot of one, is not removed', async () => {
    const { id } = await server.images.fetch({ url: images.url(), sha256: images.sha256 }).unwrap()
    const vm = await server.createVm({ name: 'web-1', disks: [{ image: path() }] }).unwrap()
    await vm.createSnapshot({ name: 'before' }).unwrap()
    await vm.edit({ deleteDisks: vm.config.disks.map((each) => each.id) }).unwrap()
    const [listed] = await server.images.list().unwrap()
    expect(listed).toMatchObject({ id, path: path(), usedBy: ['web-1'] })
    const refused = await server.images.remove(id)
    expect(refused.isErr() && refused.error).toMatchObject({ code: 'RESOURCE_BUSY', retryable: false })
    expect(refused.isErr() && refused.error.message).toContain('web-1')
    await vm.delete().unwrap()
    await server.images.remove(id).unwrap()
    expect(await server.images.list().unwrap()).toEqual([])
  })

  test('an image that can not be fetched makes no VM', async () => {
    images.answers.push(status(404))
    const failed = await server.createVm({ name: 'web-1', disks: [{ sizeMiB: 1 }, disk()] })
    expect(failed.isErr() && failed.error).toMatchObject({ code: 'INVALID_ARGUMENT', path: 'spec.disks[1].image' })
    expect(await server.getVmList().unwrap()).toEqual([])
  })

  test('a creation that is cancelled while it fetches makes no VM', async () => {
    images.answers.push(images.silence)
    const job = server.createVm({ name: 'web-1', disks: [disk()] })
    await images.asked(1)
    await job.cancel().unwrap()
    const cancelled = await job
    expect(cancelled.isErr() && cancelled.error.code).toBe('JOB_CANCELLED')
    expect(await server.getVmList().unwrap()).toEqual([])
    // Neither an image nor a sign of life.
    expect(await readdir(join(folder, 'cache', 'images'), { recursive: true })).toEqual(['processes'])
  })

  test('a creation whose time is over while it fetches, too', async () => {
    images.answers.push(images.silence)
    const late = await server.createVm({ name: 'web-1', disks: [disk()] }, { timeoutMs: 200 })
    expect(late.isErr() && late.error.code).toBe('TIMEOUT')
    expect(await server.getVmList().unwrap()).toEqual([])
  })

  test('a server that is closed while it fetches ends the creation', async () => {
    images.answers.push(images.silence)
    const job = server.createVm({ name: 'web-1', disks: [disk()] })
    await images.asked(1)
    await server.close().unwrap()
    const ended = await job
    expect(ended.isErr() && ended.error.code).toBe('CONNECTION_FAILED')
  })
})

test('QEMU finds the format of an image that was fetched', async (context) => {
  skipWithout(context, missingQemu)
  images.content = qcow2Image({ diskBytes: BigInt(8 * mebibyte) })
  await using server = await connect(`qmp://${join(folder, 'vms')}`).unwrap()
  const vm = await server.createVm({ name: 'web-1', disks: [{ ...disk(), sizeMiB: 16 }] }).unwrap()
  expect(vm.config.disks[0]?.image).toBe(path())
  const small = await server.createVm({ name: 'web-2', disks: [{ ...disk(), sizeMiB: 1 }] })
  expect(small.isErr() && small.error).toMatchObject({ path: 'spec.disks[0].sizeMiB' })
})
