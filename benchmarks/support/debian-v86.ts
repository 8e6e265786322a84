/** v86 used as in its own documentation, with the Debian of the tests. */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Vm } from 'awaitvm'
import { V86 } from 'v86'
import { linuxBootImage } from '../../src/drivers/embedded/machine/linux.js'
import { debianLinux } from '../../test/support/debian-linux.js'

const mebibyte = 2 ** 20

/** For both sides. */
export const debianMemoryMiB = 128
export const debianCommandLine = 'console=ttyS0 quiet'
/** What the guest prints when it has booted. */
export const debianReady = 'shell ready'

export async function debianFiles(): Promise<{ readonly kernel: string; readonly initrd: string }> {
  const linux = await debianLinux()
  if (linux.unavailable !== undefined) throw new Error(linux.unavailable)
  return linux
}

const v86Options = {
  wasm_path: join(dirname(createRequire(import.meta.url).resolve('v86')), 'v86.wasm'),
  memory_size: debianMemoryMiB * mebibyte,
  vga_memory_size: 4 * mebibyte,
  disable_speaker: true,
  // v86 can't restore an IDE controller without a disk.
  hda: { buffer: new ArrayBuffer(mebibyte) },
}

/** A v86 in this thread that has nothing to boot, and can be given a saved state. */
export const emptyDebianV86 = (): Promise<V86> =>
  new Promise((resolve) => {
    const v86 = new V86({ ...v86Options, autostart: false })
    v86.add_listener('emulator-loaded', () => {
      resolve(v86)
    })
  })

/** A v86 in this thread whose Debian has booted. */
export async function bootDebianV86(): Promise<V86> {
  const { kernel, initrd } = await debianFiles()
  const { image } = linuxBootImage({
    kernel: await readFile(kernel),
    initrd: await readFile(initrd),
    commandLine: debianCommandLine,
    memoryMiB: debianMemoryMiB,
  })
  return await new Promise((resolve) => {
    const v86 = new V86({ ...v86Options, multiboot: { buffer: image }, autostart: true })
    let output = ''
    v86.add_listener('serial0-output-byte', (byte) => {
      output += String.fromCharCode(byte)
      if (output.endsWith(debianReady)) resolve(v86)
    })
  })
}

/** Waits until the guest of a VM has printed the text. */
export async function printed(vm: Vm, text: string): Promise<void> {
  let output = ''
  for await (const piece of vm.console().setEncoding('utf8')) {
    output += String(piece)
    if (output.includes(text)) return
  }
  throw new Error('the guest has ended')
}
