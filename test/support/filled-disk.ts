import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Vm } from 'awaitvm'
import { expect } from 'vitest'
import type { QmpHost } from './qmp-host.js'

/** What the images are filled with. */
const filling = 0x7e

/** Makes an image of a disk of 3 MiB, which is filled, with further arguments for `qemu-img convert`. */
export function makeImage(host: QmpHost, format: string, ...args: readonly string[]): string {
  const [raw, image] = [join(host.folder, 'raw'), join(host.folder, `image.${format}`)]
  writeFileSync(raw, Buffer.alloc(3 * 2 ** 20, filling))
  execFileSync('qemu-img', ['convert', '-q', '-f', 'raw', '-O', format, ...args, raw, image])
  rmSync(raw)
  return image
}

/** The byte that the VM's disk begins with, as its guest reads it. */
export async function firstByteOf(host: QmpHost, vm: Vm): Promise<number> {
  const value = await (await host.boot(vm)).readDisk()
  await vm.stop({ mode: 'kill' }).unwrap()
  return value
}

/** The guest reads what the image has, and writes to its own disk. */
export async function expectUsable(host: QmpHost, vm: Vm): Promise<void> {
  expect(await host.diskSizes(vm)).toEqual([3])
  const guest = await host.boot(vm)
  expect(await guest.readDisk()).toBe(filling)
  await guest.writeDisk(0x11)
  await vm.stop().unwrap()
  expect(await firstByteOf(host, vm)).toBe(0x11)
  expect(await host.damage(vm)).toEqual([])
}
