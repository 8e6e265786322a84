/**
 * The program by which the embedded host runs others in a guest: an executable for Linux on 32-bit x86 which needs nothing else. It
 * serves on the second serial port, `/dev/ttyS1`, and has to run as root.
 *
 * A VM that boots a kernel with an initrd has it already. For a guest that boots from a disk, write it into the image, and start it
 * with the system.
 *
 * @example
 * ```ts
 * import { guestProgram } from 'awaitvm'
 * import { writeFile } from 'node:fs/promises'
 *
 * await writeFile('/mnt/image/usr/local/sbin/awaitvm-guest', await guestProgram(), { mode: 0o755 })
 * ```
 */
export async function guestProgram(): Promise<Uint8Array> {
  const program = await import('./drivers/embedded/guest-program/guest-program.js')
  return program.guestProgram()
}
