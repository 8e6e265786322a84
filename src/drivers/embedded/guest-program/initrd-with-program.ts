import { guestProgram } from './guest-program.js'

/** What boots a Linux with the guest program beside its init. */
export interface ProgramBoot {
  /** An archive to follow the initrd. */
  readonly addedArchive: Uint8Array
  readonly commandLine: string
}

/** Where guest-program/main.c is in the initramfs, and the link by which it finds the init that it becomes. */
const programName = 'awaitvm-guest'
const linkName = 'awaitvm-init'

const executable = 0o100755
const link = 0o120777

/** The init of an initramfs is this unless the command line says otherwise. */
const usualInit = '/init'
const initParameter = /(^|\s)rdinit=(\S*)(?!.*\srdinit=)/s

/** How the formats begin in which Linux takes an initramfs: cpio, plain or compressed (lib/decompress.c). */
const archiveStarts = [
  '070701',
  '070702',
  '\x1f\x8b',
  '\x1f\x9e',
  'BZh',
  '\x5d\x00',
  '\xfd7zXZ',
  '\x89LZO',
  '\x02!L\x18',
  '\x28\xb5\x2f\xfd',
]

/**
 * Adds the guest program to the boot of a Linux: it is the first process, starts itself in the background, and becomes the init
 * that would have been the first one. `undefined` for an initrd that is no archive, such as an image of a file system.
 */
export const withGuestProgram = (initrd: Uint8Array, commandLine = ''): ProgramBoot | undefined => {
  const start = Buffer.from(initrd.subarray(0, 6)).toString('latin1')
  if (!archiveStarts.some((archive) => start.startsWith(archive))) return undefined
  const found = initParameter.exec(commandLine)
  const ours = `rdinit=/${programName}`
  return {
    addedArchive: Buffer.concat([
      entry(1, programName, executable, guestProgram()),
      entry(2, linkName, link, Buffer.from(found?.[2] ?? usualInit)),
      entry(3, 'TRAILER!!!', 0, new Uint8Array()),
    ]),
    // The kernel forgets the arguments for init that come before this parameter, so it takes the place of the one that is there.
    commandLine: found === null ? `${ours} ${commandLine}`.trimEnd() : commandLine.replace(initParameter, `$1${ours}`),
  }
}

/** A file of a cpio archive in the format "newc". */
const entry = (inode: number, name: string, mode: number, content: Uint8Array): Buffer => {
  const path = Buffer.from(`${name}\0`)
  const fields = [inode, mode, 0, 0, 1, 0, content.byteLength, 0, 0, 0, 0, path.byteLength, 0]
  const header = Buffer.from(`070701${fields.map((value) => value.toString(16).padStart(8, '0')).join('')}`)
  return Buffer.concat([padded(Buffer.concat([header, path])), padded(content)])
}

const padded = (bytes: Uint8Array): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.byteLength & 3)])
