import { accessSync, constants, existsSync } from 'node:fs'
import { arch } from 'node:os'

export const accelerators = ['kvm', 'hvf', 'tcg'] as const
export type Accelerator = (typeof accelerators)[number]

/**
 * The fastest accelerator available. KVM is used only if a processor's KVM module is loaded: without hardware virtualization,
 * /dev/kvm opens all the same, and is many times slower than emulation.
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
