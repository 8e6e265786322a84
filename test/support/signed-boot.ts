import { execFile } from 'node:child_process'
import { copyFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { builtOnce } from './fixture.js'
import { makeGrub } from './grub.js'

const run = promisify(execFile)

/** The names of the images of disks. */
const images = { signed: 'signed.raw', unsigned: 'unsigned.raw' } as const
const sizeMiB = 32

/**
 * Two disks with nothing but a boot loader for UEFI: GRUB as Debian has signed it, behind the shim that Microsoft has signed for Debian, and
 * GRUB as grub-mkimage makes it.
 */
export async function bootLoaders(): Promise<Readonly<Record<keyof typeof images, string>>> {
  const folder = await builtOnce('signed-boot-2', build)
  return { signed: join(folder, images.signed), unsigned: join(folder, images.unsigned) }
}

/** What the signed GRUB prints. */
export const signedWords = 'grub says hello'

async function build(result: string, work: string): Promise<void> {
  await run('apt-get', ['-oAPT::Sandbox::User=root', 'download', 'shim-signed', 'grub-efi-amd64-signed'], { cwd: work })
  const root = join(work, 'root')
  const { stdout } = await run('find', [work, '-name', '*.deb'])
  for (const file of stdout.trim().split('\n')) await run('dpkg', ['-x', file, root])
  await copyFile(join(root, 'usr/lib/shim/shimx64.efi.signed'), join(work, 'shim'))
  await copyFile(join(root, 'usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed'), join(work, 'grub'))
  const settings = join(work, 'grub.cfg')
  await writeFile(settings, `echo ${signedWords}\nsleep 1000\n`)
  await makeDisk(join(result, images.signed), [
    [join(work, 'shim'), 'EFI/BOOT/BOOTX64.EFI'],
    [join(work, 'grub'), 'EFI/BOOT/grubx64.efi'],
    [settings, 'EFI/debian/grub.cfg'],
  ])
  const unsigned = join(work, 'unsigned')
  await makeGrub('x86_64-efi', '00000000-0000-0000-0000-000000000000', unsigned)
  await makeDisk(join(result, images.unsigned), [[unsigned, 'EFI/BOOT/BOOTX64.EFI']])
}

/** A disk that is one FAT file system, without partitions. */
async function makeDisk(path: string, files: readonly (readonly [from: string, to: string])[]): Promise<void> {
  await writeFile(path, '')
  await truncate(path, sizeMiB * 2 ** 20)
  await run('mformat', ['-i', path, '-T', String(sizeMiB * 2048), '::'])
  await run('mmd', ['-i', path, '::EFI', '::EFI/BOOT', '::EFI/debian'])
  for (const [from, to] of files) await run('mcopy', ['-i', path, from, `::${to}`])
}
