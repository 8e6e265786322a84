import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Vm } from 'awaitvm'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { missingTools, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'

/** What is on the disk of a VM, in parts of 128 KiB of one value each, and what was at its snapshots. */
interface Known {
  readonly vm: Vm
  disk: readonly number[]
  readonly snapshots: { readonly id: string; readonly disk: readonly number[] }[]
}

const partKiB = 128
const blank = Array.from({ length: 8 }, () => 0)
const maxVms = 9

const step = fc.record({
  what: fc.constantFrom(
    'write',
    'write',
    'write',
    'link',
    'link',
    'clone',
    'snapshot',
    'switch',
    'switch',
    'drop',
    'delete',
  ),
  vm: fc.nat(),
  which: fc.nat(),
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

  async take({ what, vm, which, value }: Step): Promise<void> {
    const known = this.#known[vm % Math.max(1, this.#known.length)]
    if (known === undefined) {
      this.#add(await this.#host.createVm({ name: this.#newName(), disks: [{ sizeMiB: 1 }] }), blank)
      return
    }
    const { snapshots } = known
    const snapshot = snapshots[which % Math.max(1, snapshots.length)]
    if (what === 'write') this.#write(known, which % blank.length, value)
    else if (what === 'link' || what === 'clone') {
      if (this.#known.length === maxVms) return
      const clone = await known.vm.clone({ name: this.#newName(), linked: what === 'link' }).unwrap()
      this.#add(clone, known.disk)
    } else if (what === 'snapshot') {
      const { id } = await known.vm.createSnapshot({ name: this.#newName() }).unwrap()
      snapshots.push({ id, disk: known.disk })
    } else if (what === 'delete') {
      await known.vm.delete().unwrap()
      this.#known.splice(this.#known.indexOf(known), 1)
    } else if (snapshot === undefined) return
    else if (what === 'switch') {
      await known.vm.switchToSnapshot(snapshot.id).unwrap()
      known.disk = snapshot.disk
    } else {
      await known.vm.deleteSnapshot(snapshot.id).unwrap()
      snapshots.splice(snapshots.indexOf(snapshot), 1)
    }
  }

  check(): void {
    for (const known of this.#known) {
      const said = this.#run(
        known,
        known.disk.map((value, part) => `read -P ${value} ${part * partKiB}k ${partKiB}k`),
      )
      expect(said, known.vm.name).not.toContain('Pattern verification failed')
    }
  }

  /** Goes to every snapshot that there is, and then away. */
  async end(): Promise<void> {
    for (const known of this.#known) {
      for (const { id, disk } of known.snapshots) {
        await known.vm.switchToSnapshot(id).unwrap()
        known.disk = disk
        this.check()
      }
      expect(await this.#host.damage(known.vm)).toEqual([])
    }
    for (const { vm } of this.#known) await vm.delete().unwrap()
    expect(readdirSync(join(this.#host.directory, 'vms'))).toEqual([])
  }

  #add(vm: Vm, disk: readonly number[]): void {
    this.#known.push({ vm, disk, snapshots: [] })
  }

  #newName(): string {
    this.#lastName += 1
    return `vm-${this.#lastName}`
  }

  #write(known: Known, part: number, value: number): void {
    this.#run(known, [`write ${value === 0 ? '-z' : `-P ${value}`} ${part * partKiB}k ${partKiB}k`])
    known.disk = known.disk.with(part, value)
  }

  #run({ vm }: Known, commands: readonly string[]): string {
    const folder = this.#host.folderOf(vm)
    const { hardware } = JSON.parse(readFileSync(join(folder, 'vm.json'), 'utf8'))
    const words = commands.flatMap((command) => ['-c', command])
    return execFileSync('qemu-io', ['-f', 'qcow2', ...words, join(folder, hardware.disks[0].file)], {
      encoding: 'utf8',
    })
  }
}

test(
  'disks of a family of clones hold what was written to each, whatever is done to the others',
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
        vms.check()
      }
      await vms.end()
    })
    await fc.assert(family, { seed: 1, numRuns: 1, endOnFailure: true })
  },
)
