import { expect } from 'vitest'
import type { Vm } from '../../vm.js'
import type { TextProgramOptions } from './guest-program.js'

/** The standard output of a program of the guest, which must succeed. */
export async function outputOf(
  vm: Vm,
  command: string | readonly string[],
  options?: TextProgramOptions,
): Promise<string> {
  const { exitCode, stdout, stderr } = await vm.guest.exec(command, options).unwrap()
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  return stdout
}
