import { randomUUID } from 'node:crypto'

/** The state of a VM's TPM, by the name that swtpm gives the file. */
export const ownTpm = { state: 'tpm2-00.permall' } as const
export const ownStatePattern = /^tpm2-00\.permall$/

/** In a snapshot, the state as it was then. */
export const newTpmCopy = (): Tpm => ({ state: `tpm-${randomUUID()}.state` })
export const copiedStatePattern = /^tpm-[0-9a-f-]{36}\.state$/

/** A TPM, by the file with its state. */
export interface Tpm {
  readonly state: string
}

/** True if a file has the state of a TPM. */
export const isTpmState = (file: string): boolean => ownStatePattern.test(file) || copiedStatePattern.test(file)

/** A lock that stays, and what swtpm writes before it puts it in the place of a state. */
const others: ReadonlySet<string> = new Set([
  '.lock',
  'TMP2-00.permall',
  'tpm2-00.volatilestate',
  'TMP2-00.volatilestate',
])

/** True if swtpm makes files of this name beside the state. */
export const isOfSwtpm = (file: string): boolean => others.has(file)

/** The hardware of a VM that is as in a snapshot: its TPM has the state in the VM's own file. */
export const withOwnTpm = <H extends { readonly tpm?: Tpm | undefined }>(hardware: H): H =>
  hardware.tpm === undefined ? hardware : { ...hardware, tpm: ownTpm }
