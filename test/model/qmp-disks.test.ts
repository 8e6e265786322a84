import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Vm } from 'awaitvm'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Definition } from '../../src/drivers/qmp/definition.js'
import { failureOf } from '../support/expect-failure.js'
import { missingTools, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'

/** What is on a disk, in parts of 128 KiB of one value each. */
interface Disk {
  readonly id: string
  readonly parts: readonly number[]
}

/** The disks of a VM in their order, and what they were at its snapshots. */
interface Known {
  readonly vm: Vm
  disks: readonly Disk[]
  readonly snapshots: { readonly id: string; readonly disks: readonly Disk[] }[]
}

const partKiB = 128
const partsOf = (sizeMiB: number): number[] => Array.from({ length: 8 * sizeMiB }, () => 0)
const sizeOf = ({ parts }: Disk): number => parts.length / 8
const maxVms = 5
const maxDisks = 3
const maxMiB = 3

const step = fc.record({
  what: fc.constantFrom(
    ...(['write', 'write', 'write', 'write', 'link', 'link', 'clone', 'snapshot', 'snapshot'] as const),
    ...(['switch', 'switch', 'switch', 'drop', 'delete', 'grow', 'grow', 'add', 'add', 'remove', 'turn'] as const),
    'forget',
  ),
  vm: fc.nat(),
  which: fc.nat(),
  part: fc.nat(),
  value: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 255 })),
})
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

/** VMs that are never started: what a guest would write, a program writes that knows of headers only. */
class Family {
  readonly #host: QmpHost
  readonly #known: Known[] = []
  #lastName = 0

  constructor(host: QmpHost) {
    this.#host = host
  }

  async take({ what, vm, which, part, value }: Step): Promise<void> {
    const known = this.#known[vm % Math.max(1, this.#known.length)]
    if (known === undefined) {
      const made = await this.#host.createVm({ name: this.#newName(), disks: [{ sizeMiB: 1 }, { sizeMiB: 1 }] })
      this.#add(
        made,
        made.config.disks.map(({ id }) => ({ id, parts: partsOf(1) })),
      )
      return
    }
    const { snapshots, disks } = known
    const snapshot = snapshots[which % Math.max(1, snapshots.length)]
    const disk = disks[which % Math.max(1, disks.length)]
    switch (what) {
      case 'write':
        if (disk !== undefined) this.#write(known, disk, part % disk.parts.length, value)
        return
      case 'link':
      case 'clone': {
        if (this.#known.length === maxVms) return
        const clone = await known.vm.clone({ name: this.#newName(), linked: what === 'link' }).unwrap()
        this.#add(
          clone,
          clone.config.disks.map(({ id }, index) => ({ id, parts: disks[index]!.parts })),
        )
        return
      }
      case 'snapshot': {
        const { id } = await known.vm.createSnapshot({ name: this.#newName() }).unwrap()
        snapshots.push({ id, disks })
        return
      }
      case 'delete':
        await known.vm.delete().unwrap()
        this.#known.splice(this.#known.indexOf(known), 1)
        return
      case 'switch':
        if (snapshot === undefined) return
        await known.vm.switchToSnapshot(snapshot.id).unwrap()
        await known.vm.refresh().unwrap()
        known.disks = snapshot.disks
        return
      case 'drop':
        if (snapshot === undefined) return
        await known.vm.deleteSnapshot(snapshot.id).unwrap()
        snapshots.splice(snapshots.indexOf(snapshot), 1)
        return
      default:
        if (what === 'add' ? disks.length < maxDisks : disk !== undefined) await this.#edit(known, what, disk)
    }
  }

  async check(): Promise<void> {
    for (const known of this.#known) {
      const { vm, disks } = known
      expect(vm.config.disks).toEqual(disks.map((disk) => ({ id: disk.id, sizeMiB: sizeOf(disk) })))
      for (const disk of disks) {
        const reads = disk.parts.map((value, part) => `read -P ${value} ${part * partKiB}k ${partKiB}k`)
        expect(this.#run(known, disk, reads), `${vm.name} ${disk.id}`).not.toContain('Pattern verification failed')
      }
      expect(await this.#host.diskSizes(vm), vm.name).toEqual(disks.map(sizeOf))
    }
  }

  /** Goes to every snapshot that there is, and then away. */
  async end(): Promise<void> {
    for (const known of this.#known) {
      for (const { id, disks } of known.snapshots) {
        await known.vm.switchToSnapshot(id).unwrap()
        await known.vm.refresh().unwrap()
        known.disks = disks
        await this.check()
      }
      expect(await this.#host.damage(known.vm)).toEqual([])
    }
    for (const { vm } of this.#known) await vm.delete().unwrap()
    expect(readdirSync(join(this.#host.directory, 'vms'))).toEqual([])
  }

  async #edit(known: Known, what: Step['what'], disk: Disk | undefined): Promise<void> {
    const { vm, disks } = known
    const others = disks.filter((other) => other !== disk)
    const kept = ({ id }: Disk): { readonly id: string } => ({ id })
    if (what === 'forget') {
      const error = await failureOf(vm.edit({ disks: others.map(kept), description: 'half of it' }), 'INVALID_ARGUMENT')
      expect(error.message).toContain(disk!.id)
    } else if (what === 'add') {
      // As large as others: only their ids tell them apart.
      await vm.edit({ disks: [{ sizeMiB: 1 }, ...disks.map(kept)] }).unwrap()
      known.disks = [{ id: vm.config.disks[0]!.id, parts: partsOf(1) }, ...disks]
    } else if (what === 'remove') {
      await vm.edit({ deleteDisks: [disk!.id] }).unwrap()
      known.disks = others
    } else if (what === 'turn') {
      known.disks = disks.toReversed()
      await vm.edit({ disks: known.disks.map(kept) }).unwrap()
    } else {
      const sizeMiB = Math.min(maxMiB, sizeOf(disk!) + 1)
      const grown = { id: disk!.id, parts: partsOf(sizeMiB).map((_, part) => disk!.parts[part] ?? 0) }
      known.disks = disks.map((other) => (other === disk ? grown : other))
      await vm
        .edit({ disks: disks.map((other) => (other === disk ? { id: other.id, sizeMiB } : kept(other))) })
        .unwrap()
    }
  }

  #add(vm: Vm, disks: readonly Disk[]): void {
    this.#known.push({ vm, disks, snapshots: [] })
  }

  #newName(): string {
    this.#lastName += 1
    return `vm-${this.#lastName}`
  }

  #write(known: Known, disk: Disk, part: number, value: number): void {
    this.#run(known, disk, [`write ${value === 0 ? '-z' : `-P ${value}`} ${part * partKiB}k ${partKiB}k`])
    const written = { ...disk, parts: disk.parts.with(part, value) }
    known.disks = known.disks.map((other) => (other === disk ? written : other))
  }

  #run({ vm }: Known, { id }: Disk, commands: readonly string[]): string {
    const folder = this.#host.folderOf(vm)
    const { hardware } = JSON.parse(readFileSync(join(folder, 'vm.json'), 'utf8')) as Definition
    const { file } = hardware.disks.find((disk) => disk.id === id)!
    const words = commands.flatMap((command) => ['-c', command])
    return execFileSync('qemu-io', ['-f', 'qcow2', ...words, join(folder, file)], { encoding: 'utf8' })
  }
}

test(
  'disks of a family of clones hold what was written to each, whatever is done to the others and to their VMs',
  {
    timeout: 300_000,
  },
  async (context) => {
    skipWithout(context, missingTools('qemu-system-x86_64', 'qemu-img', 'qemu-io'))
    const family = fc.asyncProperty(fc.array(step, { minLength: 50, maxLength: 60, size: 'max' }), async (steps) => {
      await using host = await QmpHost.open()
      const vms = new Family(host)
      for (const each of steps) {
        await vms.take(each)
        await vms.check()
      }
      await vms.end()
    })
    await fc.assert(family, { seed: 1, numRuns: 1, endOnFailure: true })
  },
)
