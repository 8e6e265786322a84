import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { TestContext } from 'vitest'

/**
 * The value of `AWAITVM_TEST_HOSTS`: `all`, or the hosts whose conformance is tested, each of which must be available;
 * `none` skips all tests that need a program besides Node. If absent, all available hosts are tested.
 */
export const wantedHosts = process.env['AWAITVM_TEST_HOSTS']

/** Skips the test, with the reason, if something is missing; with `AWAITVM_TEST_HOSTS=all` the test fails. */
export const skipWithout = (context: TestContext, missing: string | undefined): void => {
  if (missing === undefined) return
  if (wantedHosts === 'all') throw new Error(missing)
  context.task.meta.missing = missing
  context.skip(missing)
}

/** Debian's packages of the programs that tests run. */
const packages = {
  bash: 'bash',
  busybox: 'busybox-static',
  certtool: 'gnutls-bin',
  'cloud-init': 'cloud-init',
  dash: 'dash',
  'dpkg-deb': 'dpkg',
  fakeroot: 'fakeroot',
  gcc: 'gcc libc6-dev',
  'grub-mkimage': 'grub-common',
  isoinfo: 'genisoimage',
  ld: 'binutils',
  libvirtd: 'libvirt-daemon-system',
  mcopy: 'mtools',
  mke2fs: 'e2fsprogs',
  mmdebstrap: 'mmdebstrap',
  nc: 'netcat-openbsd',
  objcopy: 'binutils',
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  'qemu-system-aarch64': 'qemu-system-arm',
  'qemu-system-x86_64': 'qemu-system-x86',
  saslpasswd2: 'sasl2-bin libsasl2-modules',
  script: 'bsdutils',
  sfdisk: 'fdisk',
  swtpm: 'swtpm',
  tini: 'tini',
  virsh: 'libvirt-clients',
  virtlogd: 'libvirt-daemon-system',
  xz: 'xz-utils',
  zstd: 'zstd',
} as const satisfies Readonly<Record<string, string>>

type Tool = keyof typeof packages

const leftOut = 'AWAITVM_TEST_HOSTS=none skips what needs other programs than Node'

/** Why the programs can't be run, and what to install. */
export const missingTools = (...tools: readonly Tool[]): string | undefined => {
  if (wantedHosts === 'none') return leftOut
  const missing = tools.filter((tool) => !canRun(tool))
  if (missing.length === 0) return undefined
  const needed = new Set(missing.map((tool) => packages[tool]))
  return `not installed: ${missing.join(', ')} (apt install ${[...needed].join(' ')})`
}

/** Why the file can't be used, and which package of Debian has it. */
export const missingFile = (path: string, debianPackage: string): string | undefined =>
  existsSync(path) ? undefined : `not installed: ${path} (apt install ${debianPackage})`

export const sshServer = '/usr/sbin/sshd'

const found = new Map<Tool, boolean>()

function canRun(tool: Tool): boolean {
  const known = found.get(tool)
  if (known !== undefined) return known
  const isThere = tryToRun(tool)
  found.set(tool, isThere)
  return isThere
}

function tryToRun(tool: Tool): boolean {
  try {
    execFileSync(tool, ['--version'], { stdio: 'ignore' })
    return true
  } catch (error) {
    // Some have no such option.
    return !(error instanceof Error && 'code' in error && error.code === 'ENOENT')
  }
}

export const missingQemu = missingTools('qemu-system-x86_64', 'qemu-img')

/** Why there can be no ssh server on this machine, or no client of it. */
export const missingSsh =
  missingTools() ?? missingFile(sshServer, 'openssh-server') ?? missingFile('/usr/bin/ssh', 'openssh-client')

export const missingRoot = process.geteuid?.() === 0 ? undefined : 'not root: only root can change the user, or mount'

/** Why there can be no libvirt daemon on this machine. */
export const missingLibvirt =
  missingTools('libvirtd', 'virtlogd', 'virsh', 'tini', 'certtool', 'saslpasswd2', 'nc') ?? missingRoot

/** Why no folder can be shared by virtiofs on this machine. That of QEMU 7.2 needs root. */
export const missingVirtiofsd =
  missingTools() ?? missingFile('/usr/lib/qemu/virtiofsd', 'qemu-system-common') ?? missingRoot
