/** v86 used as in its own documentation, with the built-in guest of the embedded host. */
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { V86 } from 'v86'
import { builtInGuest } from '../../src/drivers/embedded/machine/guest.js'

const mebibyte = 2 ** 20
const newline = 10

/** The least memory that the guest needs, for both sides. */
export const memoryMiB = 16

/** A v86 that has printed its first line. */
export const bootV86 = (): Promise<V86> =>
  new Promise((resolve) => {
    const v86 = new V86({
      wasm_path: join(dirname(createRequire(import.meta.url).resolve('v86')), 'v86.wasm'),
      memory_size: memoryMiB * mebibyte,
      vga_memory_size: 8 * mebibyte,
      disable_speaker: true,
      multiboot: { buffer: builtInGuest().buffer },
      autostart: true,
    })
    v86.add_listener('serial0-output-byte', (byte) => {
      if (byte === newline) resolve(v86)
    })
  })
