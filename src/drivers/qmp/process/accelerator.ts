import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { arch } from 'node:os'

export const accelerators = ['kvm', 'hvf', 'tcg'] as const
export type Accelerator = (typeof accelerators)[number]

/**
 * The fastest accelerator that is really there. A KVM without the processor's own virtualization opens like a real one, and
 * is many times slower than emulation: only with the module of a processor is it taken for one.
 */
export async function bestAccelerator(): Promise<Accelerator> {
  if (arch() !== 'x64') return 'tcg'
  if (process.platform === 'darwin') return 'hvf'
  const isReal = (await isThere('/sys/module/kvm_intel')) || (await isThere('/sys/module/kvm_amd'))
  return isReal && (await isThere('/dev/kvm', constants.R_OK | constants.W_OK)) ? 'kvm' : 'tcg'
}

const isThere = (path: string, mode?: number): Promise<boolean> =>
  access(path, mode).then(
    () => true,
    () => false,
  )
