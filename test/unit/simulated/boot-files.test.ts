import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { recordFiles } from '../../../src/drivers/simulated/boot-files.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-kernels-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
})

/** A file of a given size that begins as a bzImage with the given number of setup sectors. */
function linux(setupSectors: number, bytes: number): Buffer {
  const image = Buffer.alloc(bytes)
  image.writeUInt8(setupSectors, 0x1f1)
  image.writeUInt16LE(0xaa55, 0x1fe)
  image.write('HdrS', 0x202)
  return image
}

function multiboot(offset: number, checksum: number): Buffer {
  const image = Buffer.alloc(10_000)
  image.writeUInt32LE(0x1badb002, offset)
  image.writeUInt32LE(0x00010000, offset + 4)
  image.writeUInt32LE(checksum, offset + 8)
  return image
}

const rightChecksum = 2 ** 32 - (0x1badb002 + 0x00010000)

test.for<[string, Buffer, boolean]>([
  ['a Linux kernel', linux(27, 20_000), true],
  ['a Linux kernel with the setup code of old', linux(0, 4000), true],
  ['a Linux kernel that is cut off in its setup code', linux(27, 4000), false],
  ['a multiboot image', multiboot(0, rightChecksum), true],
  ['a multiboot image with the header further in', multiboot(8180, rightChecksum), true],
  ['a multiboot header that is misaligned', multiboot(6, rightChecksum), false],
  ['a multiboot header with a wrong checksum', multiboot(0, rightChecksum + 1), false],
  ['a multiboot header that comes too late', multiboot(8192, rightChecksum), false],
])('%s is told whether it can be booted', async ([, image, isBootable]) => {
  const kernel = join(folder, 'kernel')
  await writeFile(kernel, image)
  const check = recordFiles({ disks: [], cdroms: [], floppies: [], boot: { kernel } }, undefined, 'spec')
  if (isBootable) await check
  else await expect(check).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', path: 'spec.boot.kernel' })
})
