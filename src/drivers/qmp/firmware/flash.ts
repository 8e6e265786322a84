import { randomUUID } from 'node:crypto'
import { InvalidArgumentError } from '../../../errors.js'
import { checkFile } from '../../../files/check-file.js'
import { firmwareFile } from '../../../model/boot-firmware.js'
import type { Hardware } from '../definition.js'
import { architectureOf, kindOfMachine } from '../hardware/machine.js'
import { newDiskFile } from '../disks/disk-chain.js'
import { findTemplate, findUefi } from './find-uefi.js'
import type { UefiFiles } from './firmware-descriptors.js'
import { isFlashCode } from './firmware-volume.js'

type Flash = NonNullable<Hardware['flash']>

const mebibyte = 2 ** 20
/** The flash memory of a PC is made of such blocks (hw/i386/pc_sysfw.c). */
const blockBytes = 4096
/** What QEMU gives both together (`max-fw-size`). */
const maxBytes = 8 * mebibyte
/** Each of the two flash memories of aarch64 has this size (hw/arm/virt.c). */
const armBytes = 64 * mebibyte

/**
 * The flash memory that a VM's firmware needs; `undefined` if it needs none. It stays with the VM until its `boot.firmware` is
 * or `boot.secureBoot` is edited, whatever is installed later.
 *
 * @param path the setting, for errors: `spec.boot.firmware`
 */
export async function planFlash(
  boot: Hardware['boot'],
  before: Pick<Hardware, 'machine' | 'boot' | 'flash'>,
  path: string,
): Promise<Flash | undefined> {
  const { machine, flash } = before
  const firmware = firmwareOf(boot, machine)
  const isSecure = hasSecureBoot(boot)
  if (isSecure && kindOfMachine(machine) === 'pc') {
    const setting = path.replace(/firmware$/, 'secureBoot')
    const reason = `${setting} needs the machine 'q35', on which the guest can't change the keys`
    throw new InvalidArgumentError({ path: setting, reason, hint: "Use machine: 'q35', or leave it out." })
  }
  const isMissing = firmware === 'uefi' && flash === undefined
  const isAsBefore = firmware === firmwareOf(before.boot, machine) && isSecure === hasSecureBoot(before.boot)
  if (isAsBefore && !isMissing) return flash
  if (firmware === 'uefi') return newFlash(await findUefi(machine, '/', isSecure), machine, path)
  const code = firmwareFile(firmware)
  if (code === undefined) return undefined
  await checkFile(code, path, 'qmp')
  if (!(await isFlashCode(code))) return undefined
  const template = await findTemplate(code)
  if (template === undefined) {
    throw new InvalidArgumentError({
      path,
      reason: `${path} is ${code}, the code of a UEFI, and the file with its variables was not found`,
      hint: "Put the OVMF_VARS.fd that belongs to it beside it, or use boot: { firmware: 'uefi' }, which finds both.",
    })
  }
  return newFlash({ code, template }, machine, path)
}

/** Whether the firmware boots only what is signed. */
export const hasSecureBoot = ({ secureBoot = false }: Hardware['boot']): boolean => secureBoot

/** The firmware that is asked for. An aarch64 machine has no other than a UEFI, and needs one unless it boots a kernel. */
const firmwareOf = ({ firmware, kernel }: Hardware['boot'], machine: string): string | undefined =>
  firmware === undefined && kernel === undefined && architectureOf(machine) === 'aarch64' ? 'uefi' : firmware

async function newFlash({ code, template }: UefiFiles, machine: string, path: string): Promise<Flash> {
  const sizes = [await checkFile(code, path, 'qmp'), await checkFile(template, path, 'qmp')]
  const [codeBytes = 0, bytes = 0] = sizes.map(({ sizeBytes }) => sizeBytes)
  const isArm = architectureOf(machine) === 'aarch64'
  const isFitting = isArm
    ? codeBytes === armBytes && bytes === armBytes
    : codeBytes % blockBytes === 0 && bytes % blockBytes === 0 && codeBytes + bytes <= maxBytes
  if (!isFitting) {
    const limits = isArm
      ? `of ${String(armBytes)} bytes each`
      : `multiples of ${String(blockBytes)} bytes, and have at most ${String(maxBytes)} bytes together`
    const reason = `${path} needs ${code} and ${template}, which must be ${limits}: they have ${String(codeBytes)} and ${String(bytes)}`
    throw new InvalidArgumentError({ path, reason })
  }
  return { code, variables: { id: randomUUID(), file: newDiskFile(), sizeMiB: bytes / mebibyte, template } }
}
