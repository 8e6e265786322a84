import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { builtOnce } from './fixture.js'
import { makeGrub, writeBiosGrub } from './grub.js'
import { missingFile, missingTools } from './optional-tool.js'

const run = promisify(execFile)

/** The path of an image, or why there is none. */
export type VendorImage = { readonly path: string; readonly unavailable?: undefined } | { readonly unavailable: string }

const missing =
  missingTools('mmdebstrap', 'fakeroot', 'mcopy', 'sfdisk', 'mke2fs', 'grub-mkimage', 'qemu-img') ??
  missingFile('/usr/lib/grub/i386-pc/boot.img', 'grub-pc-bin') ??
  missingFile('/usr/lib/grub/x86_64-efi/fat.mod', 'grub-efi-amd64-bin')

/**
 * A qcow2 image of Debian for clouds, made as Debian makes its own, smaller: GPT with a root file system at the end that can grow,
 * bootable by BIOS and by UEFI, the kernel for clouds, systemd, netplan, cloud-init and an ssh server. It has no guest agent, no user
 * to log in as, and no host key. It is built of Debian's packages, without a loop device, in some two minutes: packages are installed
 * in the mode that mmdebstrap chooses, which is that of a user namespace if the user is not root.
 */
export async function vendorImage(): Promise<VendorImage> {
  if (missing !== undefined) return { unavailable: missing }
  try {
    const folder = await builtOnce('vendor-image-1', (result, work) => build(join(result, image), work))
    return { path: join(folder, image) }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return { unavailable: `no image can be made of Debian's packages: ${why.slice(0, maxReason)}` }
  }
}

/** The words of a program that fails end with the reason, and may be long. */
const maxReason = 2000

const image = 'debian-12-cloud-amd64.qcow2'

const packages = [
  'cloud-guest-utils',
  'cloud-init',
  'dbus',
  'initramfs-tools',
  'iproute2',
  'linux-image-cloud-amd64',
  'netplan.io',
  'openssh-server',
  'sudo',
  'systemd-resolved',
  'systemd-sysv',
  'udev',
  'zstd',
]

/** The sizes of the partitions in MiB, in their order on the disk. */
const sizes = { table: 1, bios: 1, efi: 32, root: 989, endOfTable: 1 } as const

const mebibyte = 2 ** 20
const biosAt = sizes.table
const efiAt = biosAt + sizes.bios
const rootAt = efiAt + sizes.efi
const diskMiB = rootAt + sizes.root + sizes.endOfTable

/** The numbers are those of Debian's images. */
const partitions = `label: gpt
14: start=${String(biosAt)}MiB, size=${String(sizes.bios)}MiB, type=21686148-6449-6E6F-744E-656564454649
15: start=${String(efiAt)}MiB, size=${String(sizes.efi)}MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
1: start=${String(rootAt)}MiB, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
`

async function build(path: string, work: string): Promise<void> {
  const fileSystem = randomUUID()
  const disk = join(work, 'disk')
  const tree = join(work, 'tree.tar')
  await makeTree(tree)
  await writeFile(disk, '')
  await truncate(disk, diskMiB * mebibyte)
  await partition(disk)
  await writeRoot(disk, tree, fileSystem, join(work, 'root'))
  await writeEfi(disk, fileSystem, join(work, 'BOOTX64.EFI'))
  const core = join(work, 'core.img')
  await makeGrub('i386-pc', fileSystem, core)
  await writeBiosGrub(disk, await readFile(core), (biosAt * mebibyte) / 512)
  await run('qemu-img', ['convert', '-q', '-f', 'raw', '-O', 'qcow2', '-c', disk, path])
}

/** Installs the packages, and archives the tree of their files. */
async function makeTree(archive: string): Promise<void> {
  const leftOut = ['doc', 'man', 'locale'].map((folder) => `--dpkgopt=path-exclude=/usr/share/${folder}/*`)
  const what = ['--variant=minbase', `--include=${packages.join(',')}`, ...leftOut]
  await run('mmdebstrap', ['--quiet', ...what, 'bookworm', archive], { maxBuffer: 2 ** 24 })
}

async function partition(disk: string): Promise<void> {
  const child = spawn('sfdisk', ['--quiet', disk], { stdio: ['pipe', 'ignore', 'inherit'] })
  child.stdin.end(partitions)
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`sfdisk has ended with ${String(code)}`)
}

/** What vendors set up in a tree, and what they take away so that no two guests have it. */
const setUp = (fileSystem: string): string => `set -e
tar -C "$1" --exclude='./dev/*' -xf "$2"
cd "$1"
rm -f etc/ssh/ssh_host_* vmlinuz.old initrd.img.old
: > etc/machine-id
echo localhost > etc/hostname
echo LANG=C.UTF-8 > etc/default/locale
echo 'UUID=${fileSystem} / ext4 rw,discard,errors=remount-ro 0 1' > etc/fstab
mkdir -p boot/grub
cat > boot/grub/grub.cfg <<'END'
set timeout=0
menuentry Debian {
  linux /vmlinuz root=UUID=${fileSystem} ro quiet console=tty0 console=ttyS0,115200
  initrd /initrd.img
}
END
mke2fs -q -F -t ext4 -U ${fileSystem} -O ^metadata_csum_seed,^orphan_file -d . -E offset=${String(rootAt * mebibyte)} "$3" ${String(sizes.root)}M
`

/** The files belong to their users in the image, though not on this machine. */
async function writeRoot(disk: string, tree: string, fileSystem: string, folder: string): Promise<void> {
  await mkdir(folder)
  await run('fakeroot', ['--', 'sh', '-c', setUp(fileSystem), 'sh', folder, tree, disk], { env: withSbin })
  await rm(folder, { recursive: true })
}

/** mke2fs is not in the PATH of ordinary users. */
const withSbin = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` }

async function writeEfi(disk: string, fileSystem: string, program: string): Promise<void> {
  const partition = `${disk}@@${String(efiAt)}M`
  await makeGrub('x86_64-efi', fileSystem, program)
  await run('mformat', ['-i', partition, '-T', String((sizes.efi * mebibyte) / 512), '-v', 'ESP', '::'])
  await run('mmd', ['-i', partition, '::EFI', '::EFI/BOOT'])
  await run('mcopy', ['-i', partition, program, '::EFI/BOOT/BOOTX64.EFI'])
}
