import { expect } from 'vitest'
import type { ExecOptions } from '../../model/exec.js'
import type { Vm } from '../../vm.js'

/** The standard output of a program of the guest, which must succeed. */
export async function outputOf(vm: Vm, argv: readonly string[], options?: ExecOptions): Promise<string> {
  const { exitCode, stdout, stderr } = await vm.guest.exec(argv, options).unwrap()
  expect({ exitCode, stderr: Buffer.from(stderr).toString() }).toEqual({ exitCode: 0, stderr: '' })
  return Buffer.from(stdout).toString()
}
