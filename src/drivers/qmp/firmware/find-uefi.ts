import { access, constants } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { FirmwareNotFoundError } from '../../../errors.js'
import type { GuestArchitecture } from '../../../model/vm-config.js'
import { architectureOf } from '../hardware/machine.js'
import { readFirmwareDescriptors, type UefiFiles } from './firmware-descriptors.js'

type Places = readonly (readonly [folder: string, code: string, template: string])[]

/** Where packages without a descriptor have OVMF: Debian and Ubuntu, Fedora, Arch, Homebrew. The builds of 4 MiB come first. */
const placesOfOvmf: Places = [
  ['/usr/share/OVMF', 'OVMF_CODE_4M.fd', 'OVMF_VARS_4M.fd'],
  ['/usr/share/edk2/x64', 'OVMF_CODE.4m.fd', 'OVMF_VARS.4m.fd'],
  ['/opt/homebrew/share/qemu', 'edk2-x86_64-code.fd', 'edk2-i386-vars.fd'],
  ['/usr/local/share/qemu', 'edk2-x86_64-code.fd', 'edk2-i386-vars.fd'],
  ['/usr/share/OVMF', 'OVMF_CODE.fd', 'OVMF_VARS.fd'],
  ['/usr/share/edk2/ovmf', 'OVMF_CODE.fd', 'OVMF_VARS.fd'],
  ['/usr/share/edk2/x64', 'OVMF_CODE.fd', 'OVMF_VARS.fd'],
]

/** Those with secure boot, and with keys in their variables. */
const placesOfSecureOvmf: Places = [
  ['/usr/share/OVMF', 'OVMF_CODE_4M.ms.fd', 'OVMF_VARS_4M.ms.fd'],
  ['/usr/share/OVMF', 'OVMF_CODE_4M.secboot.fd', 'OVMF_VARS_4M.ms.fd'],
  ['/usr/share/OVMF', 'OVMF_CODE.ms.fd', 'OVMF_VARS.ms.fd'],
  ['/usr/share/edk2/ovmf', 'OVMF_CODE.secboot.fd', 'OVMF_VARS.secboot.fd'],
]

/** The same for aarch64, whose packages call it AAVMF: images of 64 MiB. */
const placesOfAavmf: Places = [
  ['/usr/share/AAVMF', 'AAVMF_CODE.fd', 'AAVMF_VARS.fd'],
  ['/usr/share/edk2/aarch64', 'QEMU_EFI-pflash.raw', 'vars-template-pflash.raw'],
  ['/usr/share/edk2/aarch64', 'QEMU_CODE.fd', 'QEMU_VARS.fd'],
  ['/opt/homebrew/share/qemu', 'edk2-aarch64-code.fd', 'edk2-arm-vars.fd'],
  ['/usr/local/share/qemu', 'edk2-aarch64-code.fd', 'edk2-arm-vars.fd'],
]

const known: Readonly<
  Record<GuestArchitecture, { readonly places: Places; readonly securePlaces: Places; readonly hint: string }>
> = {
  x86_64: {
    places: placesOfOvmf,
    securePlaces: placesOfSecureOvmf,
    hint:
      'Install it (Debian and Ubuntu: apt install ovmf; Fedora: dnf install edk2-ovmf; Arch: pacman -S edk2-ovmf; macOS: brew ' +
      'install qemu), or name its OVMF_CODE.fd in boot.firmware.',
  },
  aarch64: {
    places: placesOfAavmf,
    securePlaces: [['/usr/share/AAVMF', 'AAVMF_CODE.ms.fd', 'AAVMF_VARS.ms.fd']],
    hint:
      'Install it (Debian and Ubuntu: apt install qemu-efi-aarch64; Fedora: dnf install edk2-aarch64; Arch: pacman -S ' +
      'edk2-aarch64; macOS: brew install qemu), or name its AAVMF_CODE.fd in boot.firmware.',
  },
}

/** Features of a UEFI that needs secure boot, or refuses to boot a system that is not signed. */
const unwanted = ['requires-smm', 'secure-boot', 'enrolled-keys']
/**
 * Features of a UEFI that boots nothing that is not signed by one of the keys that it has. On a PC, nothing but system management mode
 * writes to its variables, which is set for the flash memory: a UEFI that does not know of that would not find them.
 */
const secure: Readonly<Record<GuestArchitecture, readonly string[]>> = {
  x86_64: ['secure-boot', 'enrolled-keys', 'requires-smm'],
  aarch64: ['secure-boot', 'enrolled-keys'],
}

/**
 * Finds the UEFI for VMs with a machine: by QEMU's descriptors, as libvirt does, else in known places.
 *
 * @param root the folder to search instead of the whole file system
 * @param isSecure whether it is to have secure boot, with keys
 */
export async function findUefi(machine: string, root = '/', isSecure = false): Promise<UefiFiles> {
  const architecture = architectureOf(machine)
  const { places: plainPlaces, securePlaces, hint } = known[architecture]
  const places = isSecure ? securePlaces : plainPlaces
  const described = await readFirmwareDescriptors(root)
  const fitting = described.filter(
    ({ targets, features }) =>
      targets.some((target) => target.architecture === architecture && fits(machine, target.machines)) &&
      (isSecure
        ? secure[architecture].every((feature) => features.includes(feature))
        : !features.some((feature) => unwanted.includes(feature))),
  )
  for (const { code, template } of [...fitting, ...filesIn(places, root)]) {
    if ((await isReadable(code)) && (await isReadable(template))) return { code, template }
  }
  const searched = new Set(places.map(([folder]) => join(root, folder)))
  throw new FirmwareNotFoundError({
    reason: `no UEFI ${isSecure ? 'with secure boot and keys ' : ''}for the machine ${machine} was found: neither by QEMU's descriptors (${join(root, 'usr/share/qemu/firmware')}), nor in ${[...searched].join(', ')}`,
    hint,
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

/** QEMU's own builds have the same variables for 32 and 64 bits. */
const ownTemplates: Readonly<Partial<Record<string, string>>> = {
  'edk2-x86_64-code.fd': 'edk2-i386-vars.fd',
  'edk2-aarch64-code.fd': 'edk2-arm-vars.fd',
}

/** `OVMF_VARS_4M.fd` for `OVMF_CODE_4M.secboot.fd`. */
const templateName = (code: string): string =>
  ownTemplates[code] ?? code.replace('CODE', 'VARS').replace('.secboot', '')

const filesIn = (places: Places, root: string): UefiFiles[] =>
  places.map(([folder, code, template]) => ({
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
