import { accessSync, constants, existsSync } from 'node:fs'
import { arch } from 'node:os'

export const accelerators = ['kvm', 'hvf', 'tcg'] as const
export type Accelerator = (typeof accelerators)[number]

/**
 * The fastest accelerator that is really there. A KVM without the processor's own virtualization opens like a real one, and
 * is many times slower than emulation: only with the module of a processor is it taken for one.
 */
export function bestAccelerator(): Accelerator {
  if (arch() !== 'x64') return 'tcg'
  if (process.platform === 'darwin') return 'hvf'
  const isReal = existsSync('/sys/module/kvm_intel') || existsSync('/sys/module/kvm_amd')
  return isReal && isUsable('/dev/kvm') ? 'kvm' : 'tcg'
}

function isUsable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}
