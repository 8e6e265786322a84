import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Server, Vm } from 'awaitvm'
import fc from 'fast-check'
import { expect } from 'vitest'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'

/** The content of a disk, in parts of `partKiB` of one value each. */
export interface KnownDisk {
  readonly id: string
  readonly parts: readonly number[]
}

/** The disks of a VM in order, now and at its snapshots. */
interface Known {
  readonly vm: Vm
  disks: readonly KnownDisk[]
  readonly snapshots: { readonly id: string; readonly disks: readonly KnownDisk[] }[]
}

export const partKiB = 128
const partsOf = (sizeMiB: number): number[] => Array.from({ length: 8 * sizeMiB }, () => 0)
export const sizeOf = ({ parts }: KnownDisk): number => parts.length / 8
const maxVms = 5
const maxMiB = 3

/** A host with stopped VMs, whose disks the test reads and writes directly: faster than a guest would. */
export interface DiskHost extends AsyncDisposable {
  readonly server: Server
  /** The most disks that a VM can have. */
  readonly maxDisks: number
  write(vm: Vm, disk: KnownDisk, part: number, value: number): void
  /** True if a disk has the expected size and content. */
  holds(vm: Vm, disk: KnownDisk): boolean
  /** What is wrong with a VM's files. */
  damage(vm: Vm): Promise<readonly string[]>
  /** The files that are left of all VMs. */
  left(): readonly string[]
}

const step = fc.record({
  what: fc.constantFrom(
    ...(['write', 'write', 'write', 'write', 'link', 'link', 'clone', 'snapshot', 'snapshot'] as const),
    ...(['switch', 'switch', 'switch', 'drop', 'delete', 'grow', 'grow', 'add', 'add', 'remove', 'turn'] as const),
    ...(['export', 'forget'] as const),
  ),
  vm: fc.nat(),
  which: fc.nat(),
  part: fc.nat(),
  value: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 255 })),
})
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

/** Asserts that a disk is exported with the content that it has. */
async function exportsTruly(vm: Vm, { id, parts }: KnownDisk): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'awaitvm-export-'))
  try {
    await vm.exportDisk(id, join(folder, 'disk')).unwrap()
    const expected = Buffer.concat(parts.map((value) => Buffer.alloc(partKiB * 1024, value)))
    expect(expected.equals(await readFile(join(folder, 'disk')))).toBe(true)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** VMs that are never started, their clones and their snapshots. */
class DiskFamily {
  readonly #host: DiskHost
  readonly #known: Known[] = []
  #lastName = 0

  constructor(host: DiskHost) {
    this.#host = host
  }

  async take({ what, vm, which, part, value }: Step): Promise<void> {
    const known = this.#known[vm % Math.max(1, this.#known.length)]
    if (known === undefined) {
      const disks = [{ sizeMiB: 1 }, { sizeMiB: 1 }]
      const made = await this.#host.server.createVm({ name: this.#newName(), disks }).unwrap()
      this.#add(
        made,
        made.config.disks.map(({ id }) => ({ id, parts: partsOf(1) })),
      )
      return
    }
    const { server, maxDisks } = this.#host
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
        const isLinking = server.capabilities.has('vm.clone.linked')
        const clone = await known.vm.clone({ name: this.#newName(), linked: what === 'link' && isLinking }).unwrap()
        const ids = disks.map(({ id }) => id)
        expect(clone.config.disks.filter(({ id }) => ids.includes(id))).toEqual([])
        this.#add(
          clone,
          clone.config.disks.map(({ id }, index) => ({ id, parts: disks[index]!.parts })),
        )
        return
      }
      case 'export':
        if (disk !== undefined) await exportsTruly(known.vm, disk)
        return
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

  check(): void {
    for (const known of this.#known) {
      const { vm, disks } = known
      const shown = vm.config.disks.map(({ id, sizeMiB }) => ({ id, sizeMiB }))
      expect(shown).toEqual(disks.map((disk) => ({ id: disk.id, sizeMiB: sizeOf(disk) })))
      for (const disk of disks) {
        expect(this.#host.holds(vm, disk), `${vm.name} has what was written to ${disk.id}`).toBe(true)
      }
    }
  }

  /** Switches to every snapshot, and then deletes the VM. */
  async end(): Promise<void> {
    for (const known of this.#known) {
      for (const { id, disks } of known.snapshots) {
        await known.vm.switchToSnapshot(id).unwrap()
        await known.vm.refresh().unwrap()
        known.disks = disks
        this.check()
      }
      expect(await this.#host.damage(known.vm)).toEqual([])
    }
    for (const { vm } of this.#known) await vm.delete().unwrap()
    expect(this.#host.left()).toEqual([])
  }

  async #edit(known: Known, what: Step['what'], disk: KnownDisk | undefined): Promise<void> {
    const { vm, disks } = known
    const others = disks.filter((other) => other !== disk)
    const kept = ({ id }: KnownDisk): { readonly id: string } => ({ id })
    if (what === 'forget') {
      const error = await failureOf(vm.edit({ disks: others.map(kept), description: 'half of it' }), 'INVALID_ARGUMENT')
      expect(error.message).toContain(disk!.id)
    } else if (what === 'add') {
      // Of the same size as others: only the ids tell them apart.
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

  #add(vm: Vm, disks: readonly KnownDisk[]): void {
    this.#known.push({ vm, disks, snapshots: [] })
  }

  #newName(): string {
    this.#lastName += 1
    return `vm-${this.#lastName}`
  }

  #write(known: Known, disk: KnownDisk, part: number, value: number): void {
    this.#host.write(known.vm, disk, part, value)
    const written = { ...disk, parts: disk.parts.with(part, value) }
    known.disks = known.disks.map((other) => (other === disk ? written : other))
  }
}

/** Plays a family of VMs on a host, and deletes it. */
export async function liveOn(open: () => Promise<DiskHost>): Promise<void> {
  const property = fc.asyncProperty(fc.array(step, { minLength: 50, maxLength: 60, size: 'max' }), async (steps) => {
    await using host = await open()
    const family = new DiskFamily(host)
    for (const each of steps) {
      await family.take(each)
      family.check()
    }
    await family.end()
  })
  await fc.assert(property, { seed: 1, numRuns: 1, endOnFailure: true })
}
