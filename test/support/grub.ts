import { execFile } from 'node:child_process'
import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

const modules = ['part_gpt', 'ext2', 'search', 'search_fs_uuid', 'configfile', 'normal', 'linux']
/** The disk drivers of each platform, and for UEFI the file system that it is read from itself. */
const ofPlatform = { 'i386-pc': ['biosdisk'], 'x86_64-efi': ['fat'] } as const

export type GrubPlatform = keyof typeof ofPlatform

const sectorBytes = 512
/** The code of a master boot record ends here; the disk's signature and the partitions come behind it. */
const bootCodeBytes = 440
/** Where boot.img has the sector of the core (GRUB_BOOT_MACHINE_KERNEL_SECTOR in GRUB's include/grub/i386/pc/boot.h). */
const coreSectorAt = 0x5c
/** Where the core's first sector has the place of the rest: first sector, number of sectors, segment of memory. */
const restAt = sectorBytes - 12
const restSegment = 0x820

/** Makes a GRUB that reads its settings from /boot/grub/grub.cfg of the file system. */
export async function makeGrub(platform: GrubPlatform, fileSystem: string, path: string): Promise<void> {
  const settings = `${path}.cfg`
  await writeFile(settings, `search.fs_uuid ${fileSystem} root\nconfigfile ($root)/boot/grub/grub.cfg\n`)
  const wanted = [...modules, ...ofPlatform[platform]]
  await run('grub-mkimage', ['-O', platform, '-p', '/boot/grub', '-c', settings, '-o', path, ...wanted])
}

/** Does what `grub-bios-setup` does, which needs the disk as a device: a BIOS boots the core by the master boot record. */
export async function writeBiosGrub(disk: string, core: Buffer, sector: number): Promise<void> {
  const boot = (await readFile(join('/usr/lib/grub/i386-pc', 'boot.img'))).subarray(0, bootCodeBytes)
  boot.writeBigUInt64LE(BigInt(sector), coreSectorAt)
  core.writeBigUInt64LE(BigInt(sector + 1), restAt)
  core.writeUInt16LE(Math.ceil(core.length / sectorBytes) - 1, restAt + 8)
  core.writeUInt16LE(restSegment, restAt + 10)
  const file = await open(disk, 'r+')
  try {
    await file.write(boot, 0, boot.length, 0)
    await file.write(core, 0, core.length, sector * sectorBytes)
  } finally {
    await file.close()
  }
}
