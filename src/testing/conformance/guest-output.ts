import { expect } from 'vitest'
import type { ProgramInput, ProgramOptions } from '../../model/exec.js'
import type { Vm } from '../../vm.js'

/** The standard output of a program of the guest, which must succeed. */
export async function outputOf(
  vm: Vm,
  argv: readonly string[],
  options?: ProgramOptions & { readonly input?: ProgramInput },
): Promise<string> {
  const { exitCode, stdout, stderr } = await vm.guest.exec(argv, options).unwrap()
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  return stdout
}
