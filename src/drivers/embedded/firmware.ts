import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { FirmwareNotFoundError } from '../../errors.js'
import { readBootFile } from './boot-file.js'
import { errorCode } from '../../errors/native.js'

/** The folders of SeaBIOS and QEMU packages: Debian and Fedora, QEMU itself, Homebrew on both kinds of Mac, Windows. */
const directories = [
  '/usr/share/seabios',
  '/usr/share/qemu',
  '/usr/local/share/qemu',
  '/opt/homebrew/share/qemu',
  'C:\\Program Files\\qemu\\share',
]
/** The build of 128 KiB: the larger one does not fit under the first mebibyte, where v86 puts it. */
const biosName = 'bios.bin'
const videoBiosName = 'vgabios-stdvga.bin'

export interface Firmware {
  readonly bios: Uint8Array
  readonly videoBios: Uint8Array | undefined
}

/** SeaBIOS with its VGA BIOS, as found on this machine. */
export async function findFirmware(searched: readonly string[] = directories): Promise<Firmware> {
  for (const directory of searched) {
    const bios = await readIfThere(join(directory, biosName))
    if (bios !== undefined) return { bios, videoBios: await readIfThere(join(directory, videoBiosName)) }
  }
  throw new FirmwareNotFoundError({
    reason: `no SeaBIOS was found in ${searched.join(', ')}`,
    hint:
      'Install it (Debian and Ubuntu: apt install seabios; Fedora: dnf install seabios-bin seavgabios-bin; macOS: brew install ' +
      'qemu), or name the image in boot.firmware. A Linux kernel in boot.kernel needs none.',
  })
}

/** The images that the VM names. If it names only the BIOS, the VGA BIOS is taken from the folder of that. */
export async function readFirmware(path: string, videoPath: string | undefined, root: string): Promise<Firmware> {
  const videoBios =
    videoPath === undefined
      ? await readIfThere(join(dirname(path), videoBiosName))
      : await readBootFile(videoPath, 'videoFirmware', root)
  return { bios: await readBootFile(path, 'firmware', root), videoBios }
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
    throw error
  }
}
