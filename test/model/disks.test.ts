import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { connect, type Vm } from 'awaitvm'
import { test } from 'vitest'
import type { Definition as EmbeddedDefinition } from '../../src/drivers/embedded/definition.js'
import { Disk } from '../../src/drivers/embedded/machine/disk.js'
import type { Definition } from '../../src/drivers/qmp/definition.js'
import { missingTools, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'
import { liveOn, partKiB, sizeOf, type DiskHost, type KnownDisk } from './disk-family.js'

/** Reads the definition of a VM in a directory as the host does. */
const written = (directory: string, vm: Vm): unknown =>
  JSON.parse(readFileSync(join(directory, 'vms', vm.id, 'vm.json'), 'utf8'))

async function qemu(): Promise<DiskHost> {
  const host = await QmpHost.open()
  const run = (vm: Vm, { id }: KnownDisk, commands: readonly string[]): string => {
    const { hardware } = written(host.directory, vm) as Definition
    const { file } = hardware.disks.find((disk) => disk.id === id)!
    const words = commands.flatMap((command) => ['-c', command])
    return execFileSync('qemu-io', ['-f', 'qcow2', ...words, join(host.folderOf(vm), file)], { encoding: 'utf8' })
  }
  const place = (part: number): string => `${part * partKiB}k ${partKiB}k`
  return {
    server: host.server,
    maxDisks: 3,
    write: (vm, disk, part, value) =>
      void run(vm, disk, [`write ${value === 0 ? '-z' : `-P ${value}`} ${place(part)}`]),
    holds: (vm, disk) => {
      const reads = disk.parts.map((value, part) => `read -P ${value} ${place(part)}`)
      const said = run(vm, disk, [...reads, 'length'])
      return !said.includes('Pattern verification failed') && said.endsWith(`\n${sizeOf(disk)} MiB\n`)
    },
    damage: (vm) => host.damage(vm),
    left: () => readdirSync(join(host.directory, 'vms')),
    [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
  }
}

async function embedded(): Promise<DiskHost> {
  const directory = mkdtempSync(join(tmpdir(), 'awaitvm-disks-'))
  const server = await connect(pathToFileURL(directory).href.replace('file:', 'embedded:')).unwrap()
  const partBytes = partKiB * 1024
  const use = <T>(vm: Vm, known: KnownDisk, action: (disk: Disk) => T): T => {
    const { hardware } = written(directory, vm) as EmbeddedDefinition
    const { overlay, sizeMiB = 0 } = hardware.disks.find(({ id }) => id === known.id)!
    const path = join(directory, 'vms', vm.id, overlay)
    const disk = Disk.open({ sizeBytes: sizeMiB * 2 ** 20, overlay: { kind: 'file', path } })
    try {
      return action(disk)
    } finally {
      disk.close()
    }
  }
  return {
    server,
    maxDisks: 2,
    write: (vm, known, part, value) => {
      use(vm, known, (disk) => {
        disk.write(part * partBytes, Buffer.alloc(partBytes, value))
      })
    },
    holds: (vm, known) =>
      use(vm, known, (disk) => {
        const expected = Buffer.concat(known.parts.map((value) => Buffer.alloc(partBytes, value)))
        return disk.byteLength === expected.length && expected.equals(disk.read(0, disk.byteLength))
      }),
    damage: async () => [],
    left: () => readdirSync(join(directory, 'vms')),
    async [Symbol.asyncDispose]() {
      await server.close()
      rmSync(directory, { recursive: true })
    },
  }
}

const title =
  'disks of a family of clones hold what was written to each, whatever is done to the others and to their VMs'

test(`QEMU: ${title}`, { timeout: 300_000 }, async (context) => {
  skipWithout(context, missingTools('qemu-system-x86_64', 'qemu-img', 'qemu-io'))
  await liveOn(qemu)
})

test(`embedded: ${title}`, { timeout: 300_000 }, async () => {
  await liveOn(embedded)
})
