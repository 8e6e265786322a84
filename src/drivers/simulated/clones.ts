import { requireSnapshot, withoutMemory } from '../../driver/snapshot-list.js'
import type { DriverInputs } from '../../driver/driver.js'
import type { ImageUse } from '../../files/image-record.js'
import { cloneAdapters, refuseTwinOn, twinAdapters } from '../../network/kept-adapter.js'
import type { SimulatedHost } from './host.js'
import { withEphemeral, withNewDiskIds } from './provisioning.js'
import { cloneSeed } from './seed.js'
import type { GuestMemory } from './serial-guest.js'
import type { SimulatedVm, VmContent } from './simulated-vm.js'

type How = Pick<DriverInputs['vm.clone'], 'memory' | 'snapshot' | 'ephemeral'>

/** What a clone begins with. */
interface Origin {
  readonly content: VmContent
  /** Absent if the clone does not run. */
  readonly memory: GuestMemory | undefined
}

function originOf(vm: SimulatedVm, how: How): Origin {
  const origin = momentOf(vm, how)
  if (how.memory) refuseTwinOn(origin.content.adapters)
  return origin
}

function momentOf(vm: SimulatedVm, { memory, snapshot: id }: How): Origin {
  if (id === undefined) return { content: vm.content, memory: memory ? (vm.machine?.memory ?? vm.memory) : undefined }
  const snapshot = requireSnapshot(vm.snapshots, id)
  if (snapshot.memory === undefined) throw withoutMemory(snapshot)
  return { content: snapshot.content, memory: snapshot.memory }
}

/** The files that are checked before a VM is cloned. */
export function filesOfClone(vm: SimulatedVm, how: How): [VmContent, ImageUse] {
  if (how.snapshot === undefined) vm.requireRoom()
  return [originOf(vm, how).content, how.memory ? 'snapshot' : 'disks']
}

/** Makes a clone. One with memory is the same guest under another name: it runs, and has the addresses and the seed of the original. */
export function cloneOf(host: SimulatedHost, vm: SimulatedVm, name: string, how: How): SimulatedVm {
  const { content: original, memory } = originOf(vm, how)
  const { config: whole, adapters, ...content } = withNewDiskIds(original, host.newDiskId)
  const { ephemeral: _ephemeral, ...config } = whole
  const networkAdapters = how.memory ? twinAdapters(adapters) : cloneAdapters(adapters, host.newMacAddress)
  const seed = how.memory ? {} : cloneSeed(config, name, host.newInstanceId)
  const createdAt = new Date(host.clock.now)
  const clone = host.newVm({
    ...content,
    config: { ...config, ...seed, ...withEphemeral(how.ephemeral), name, networkAdapters, createdAt },
  })
  host.store.add(clone)
  host.lifecycle.tell('created', clone)
  if (how.memory) host.lifecycle.powerOn(clone, memory)
  return clone
}
