import { access, constants } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { FirmwareNotFoundError } from '../../../errors.js'
import { readFirmwareDescriptors, type UefiFiles } from './firmware-descriptors.js'

/** Where packages without a descriptor have OVMF: Debian and Ubuntu, Fedora, Arch, Homebrew. The builds of 4 MiB come first. */
const knownPlaces: readonly (readonly [folder: string, code: string, template: string])[] = [
  ['/usr/share/OVMF', 'OVMF_CODE_4M.fd', 'OVMF_VARS_4M.fd'],
  ['/usr/share/edk2/x64', 'OVMF_CODE.4m.fd', 'OVMF_VARS.4m.fd'],
  ['/opt/homebrew/share/qemu', 'edk2-x86_64-code.fd', 'edk2-i386-vars.fd'],
  ['/usr/local/share/qemu', 'edk2-x86_64-code.fd', 'edk2-i386-vars.fd'],
  ['/usr/share/OVMF', 'OVMF_CODE.fd', 'OVMF_VARS.fd'],
  ['/usr/share/edk2/ovmf', 'OVMF_CODE.fd', 'OVMF_VARS.fd'],
  ['/usr/share/edk2/x64', 'OVMF_CODE.fd', 'OVMF_VARS.fd'],
]

/** Features of a UEFI that needs secure boot, or refuses to boot a system that is not signed. */
const unwanted = ['requires-smm', 'secure-boot', 'enrolled-keys']

/**
 * Finds the UEFI for VMs with a machine: by QEMU's descriptors, as libvirt does, else in known places.
 *
 * @param root the folder to search instead of the whole file system
 */
export async function findUefi(machine: string, root = '/'): Promise<UefiFiles> {
  const described = await readFirmwareDescriptors(root)
  const fitting = described.filter(
    ({ machines, features }) => fits(machine, machines) && !features.some((feature) => unwanted.includes(feature)),
  )
  for (const { code, template } of [...fitting, ...knownFiles(root)]) {
    if ((await isReadable(code)) && (await isReadable(template))) return { code, template }
  }
  const searched = new Set(knownPlaces.map(([folder]) => join(root, folder)))
  throw new FirmwareNotFoundError({
    reason: `no UEFI for the machine ${machine} was found: neither by QEMU's descriptors (${join(root, 'usr/share/qemu/firmware')}), nor in ${[...searched].join(', ')}`,
    hint:
      'Install it (Debian and Ubuntu: apt install ovmf; Fedora: dnf install edk2-ovmf; Arch: pacman -S edk2-ovmf; macOS: brew ' +
      'install qemu), or name its OVMF_CODE.fd in boot.firmware.',
  })
}

/** Finds the template of the variables for a UEFI whose code is in this file; `undefined` if it is not installed. */
export async function findTemplate(code: string, root = '/'): Promise<string | undefined> {
  const described = await readFirmwareDescriptors(root)
  // A link to another build is that build with other variables.
  const named = described.find((uefi) => uefi.code === code)
  if (named !== undefined && (await isReadable(named.template))) return named.template
  const beside = join(dirname(code), templateName(basename(code)))
  return beside !== code && (await isReadable(beside)) ? beside : undefined
}

/** `OVMF_VARS_4M.fd` for `OVMF_CODE_4M.secboot.fd`. QEMU's own builds have the same variables for 32 and 64 bits. */
const templateName = (code: string): string =>
  code === 'edk2-x86_64-code.fd' ? 'edk2-i386-vars.fd' : code.replace('CODE', 'VARS').replace('.secboot', '')

const knownFiles = (root: string): UefiFiles[] =>
  knownPlaces.map(([folder, code, template]) => ({
    code: join(root, folder, code),
    template: join(root, folder, template),
  }))

/** True if one of the patterns, in which `*` stands for any text, matches the machine. */
const fits = (machine: string, patterns: readonly string[]): boolean =>
  patterns.some((pattern) => {
    const parts = pattern.split('*').map((part) => part.replaceAll(/[\\^$.+?()[\]{}|]/g, String.raw`\$&`))
    return new RegExp(`^${parts.join('.*')}$`).test(machine)
  })

async function isReadable(path: string): Promise<boolean> {
  try {
    await access(path, constants.R_OK)
    return true
  } catch {
    return false
  }
}
