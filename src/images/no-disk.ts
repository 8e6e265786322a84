import type { ImageProblem } from './image-problem.js'
import { has, type ImageSample } from './image-sample.js'
import { packings } from './packing.js'

/** What a file is that is certainly no disk, and what to do with it; `undefined` for everything else, which is a raw disk. */
export function noDiskProblem({ head }: ImageSample): ImageProblem | undefined {
  const known = signatures.find(({ at = 0, bytes }) => has(head, at, bytes))
  if (known !== undefined) return { reason: `is ${known.what}, not a disk`, hint: known.hint ?? nameImage }
  if (has(head, isoAt, 'CD001') && !hasBootSector(head)) {
    return {
      reason: 'is an ISO 9660 image without a boot sector, which is a CD-ROM and not a disk',
      hint: 'Name it in cdroms: [{ image }].',
    }
  }
  if (has(head, kernelAt, 'HdrS')) {
    return { reason: 'is a Linux kernel, not a disk', hint: 'Name it in boot: { kernel }.' }
  }
  if (has(head, 0, 'MZ') && !hasBootSector(head)) return { reason: 'is a program, not a disk', hint: nameImage }
  return isText(head) ? { reason: 'is a text, not a disk', hint: nameImage } : undefined
}

interface Signature {
  readonly what: string
  /** 0 if absent. */
  readonly at?: number
  readonly bytes: Buffer | string
  readonly hint?: string
}

const nameImage = 'Name an image of a disk: raw, qcow2, vmdk, vdi, vhd, vhdx or qed.'
const hex = (bytes: string): Buffer => Buffer.from(bytes, 'hex')
const unpack = (command: string): string => `Unpack it first: ${command} FILE.`
const takeOut = 'Take the image out of it first.'

const signatures: readonly Signature[] = [
  ...Object.entries(packings).map(([name, { bytes, command }]) => ({
    what: `compressed by ${name}`,
    bytes,
    hint: unpack(command),
  })),
  { what: 'compressed by bzip2', at: 4, bytes: hex('314159265359'), hint: unpack('bunzip2') },
  { what: 'compressed by lz4', bytes: hex('04224d18'), hint: unpack('unlz4') },
  { what: 'a tar archive', at: 257, bytes: 'ustar', hint: `${takeOut} An .ova file is such an archive.` },
  { what: 'a zip archive', bytes: hex('504b0304'), hint: takeOut },
  { what: 'a 7z archive', bytes: hex('377abcaf271c'), hint: takeOut },
  { what: 'a RAR archive', bytes: 'Rar!\x1a\x07', hint: takeOut },
  { what: 'a cpio archive', bytes: '07070', hint: 'Name an initial RAM disk in boot: { initrd }.' },
  { what: 'an ar archive or a Debian package', bytes: '!<arch>\n' },
  { what: 'an RPM package', bytes: hex('edabeedb') },
  { what: 'an ELF program', bytes: hex('7f454c46') },
  { what: 'a Mach-O program', bytes: hex('cffaedfe') },
  { what: 'a Mach-O program or a Java class', bytes: hex('cafebabe') },
  { what: 'a PNG picture', bytes: hex('89504e470d0a1a0a') },
  { what: 'a JPEG picture', bytes: hex('ffd8ff') },
  { what: 'a GIF picture', bytes: 'GIF8' },
  { what: 'a PDF document', bytes: '%PDF-' },
  { what: "a disk of Parallels' own format", bytes: 'WithoutFreeSpace', hint: convert('parallels') },
  { what: "a disk of Parallels' own format", bytes: 'WithouFreSpacExt', hint: convert('parallels') },
]

function convert(format: string): string {
  return `Convert it: qemu-img convert -f ${format} -O qcow2 OLD NEW.`
}

/** The first volume descriptor of ISO 9660 is in sector 16 of 2,048 bytes each. */
const isoAt = 16 * 2048 + 1
/** By Documentation/arch/x86/boot.rst of Linux. */
const kernelAt = 0x202

/** A partition table or a boot loader, as a hybrid ISO image has, too, which is a disk as well as a CD-ROM. */
const hasBootSector = (head: Buffer): boolean => has(head, 510, hex('55aa'))

const textBytes = 4096

/** True for lines of UTF-8 without control characters. A disk with this little structure has no use. */
function isText(head: Buffer): boolean {
  const begin = head.subarray(0, textBytes)
  if (!begin.includes(0x0a) || !begin.some((byte) => byte > 0x20)) return false
  if (begin.some((byte) => byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d)) return false
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(begin, { stream: true })
    return true
  } catch {
    // Not UTF-8.
    return false
  }
}
