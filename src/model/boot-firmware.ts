import { isAbsolute } from 'node:path'

/** The kinds of firmware that a host finds by itself. */
const firmwareKinds: readonly string[] = ['bios', 'uefi']

/** True for what `boot.firmware` may be. */
export const isFirmware = (firmware: string): boolean => firmwareKinds.includes(firmware) || isAbsolute(firmware)

/** The file that `boot.firmware` names; `undefined` if the host finds one by itself. */
export const firmwareFile = (firmware: string | undefined): string | undefined =>
  firmware === undefined || firmwareKinds.includes(firmware) ? undefined : firmware
