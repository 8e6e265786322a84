import { accessSync, constants, existsSync } from 'node:fs'
import { arch } from 'node:os'
import type { GuestArchitecture } from '../../../model/vm-config.js'

export const accelerators = ['kvm', 'hvf', 'tcg'] as const
export type Accelerator = (typeof accelerators)[number]

/** True if guests of an architecture can run on this computer's own processors. */
const isNative = (architecture: GuestArchitecture): boolean => arch() === (architecture === 'x86_64' ? 'x64' : 'arm64')

/**
 * The accelerator for guests of an architecture: the forced one, or the fastest available one, where their processors are those of this
 * computer, else emulation. For x86_64, KVM is used only if a processor's KVM module is loaded: without hardware virtualization,
 * /dev/kvm opens all the same, and is many times slower than emulation.
 */
export function acceleratorFor(architecture: GuestArchitecture, forced?: Accelerator): Accelerator {
  // A forced accelerator that x86_64 guests can't have is refused by QEMU.
  if (forced !== undefined && (architecture === 'x86_64' || isNative(architecture))) return forced
  if (!isNative(architecture)) return 'tcg'
  if (process.platform === 'darwin') return 'hvf'
  const isReal =
    architecture === 'aarch64' || ['kvm_intel', 'kvm_amd'].some((name) => existsSync(`/sys/module/${name}`))
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
