import { describe, expect, it } from 'vitest'
import { Inventory, type VmSight } from '../../../src/driver/inventory.js'
import type { VmConfig } from '../../../src/model/vm-config.js'
import type { VmEvent } from '../../../src/model/vm-event.js'

const settings: VmConfig = {
  name: 'web-1',
  description: '',
  cpus: 1,
  memoryMiB: 512,
  disks: [],
  cdroms: [],
  floppies: [],
  boot: {},
}
const web = { id: 'a', state: 'stopped', config: settings } as const satisfies VmSight
const db = { ...web, id: 'b', config: { ...settings, name: 'db-1' } }

const at = new Date(0)
const newInventory = () => {
  const events: VmEvent[] = []
  const inventory = new Inventory(
    (event) => events.push(event),
    () => at,
  )
  return { inventory, events }
}

describe('an inventory', () => {
  it('tells nothing of the VMs of the first list', () => {
    const { inventory, events } = newInventory()
    inventory.observeAll([web, { ...db, state: 'running' }])
    expect(events).toEqual([])
    expect(inventory.stateOf('b')).toBe('running')
  })

  it('tells of VMs that have come and gone since the last list', () => {
    const { inventory, events } = newInventory()
    inventory.observeAll([web])
    inventory.observeAll([db])
    expect(events).toEqual([
      { type: 'created', vmId: 'b', name: 'db-1', at },
      { type: 'deleted', vmId: 'a', name: 'web-1', at },
    ])
  })

  it('tells that a new VM was started, too', () => {
    const { inventory, events } = newInventory()
    inventory.observeAll([])
    inventory.observe({ ...web, state: 'running' })
    expect(events).toEqual([
      { type: 'created', vmId: 'a', name: 'web-1', at },
      { type: 'state', vmId: 'a', name: 'web-1', state: 'running', previous: undefined, at },
    ])
  })

  it('tells of settings and of a state that have changed', () => {
    const { inventory, events } = newInventory()
    inventory.observeAll([web])
    inventory.observe({ ...web, state: 'running', config: { ...settings, name: 'web-2' } })
    expect(events).toEqual([
      { type: 'config', vmId: 'a', name: 'web-2', at },
      { type: 'state', vmId: 'a', name: 'web-2', state: 'running', previous: 'stopped', at },
    ])
  })

  it('keeps the object of settings that are the same in other words', () => {
    const { inventory, events } = newInventory()
    inventory.observeAll([web])
    inventory.observe({ ...web, config: { ...settings, boot: { order: undefined } } })
    expect(inventory.configOf('a')).toBe(settings)
    expect(events).toEqual([])
  })

  it('tells why a state has changed', () => {
    const { inventory, events } = newInventory()
    inventory.observeAll([web])
    inventory.observe({ id: 'a', state: 'crashed', reason: 'crash', message: 'signal 9' })
    expect(events).toMatchObject([{ type: 'state', state: 'crashed', reason: 'crash', message: 'signal 9' }])
  })

  it('says that a change of state was requested while an operation works on the VM', async () => {
    const { inventory, events } = newInventory()
    inventory.observeAll([web])
    await inventory.during('a', async () => {
      await inventory.during('a', () => Promise.resolve())
      inventory.observe({ ...web, state: 'running' })
    })
    inventory.observe(web)
    expect(events).toMatchObject([{ state: 'running', reason: 'request' }, { state: 'stopped' }])
    expect(events[1]).not.toHaveProperty('reason')
    expect(inventory.isBusy('a')).toBe(false)
  })

  it('is not busy with a VM after an operation on it has failed', async () => {
    const { inventory } = newInventory()
    await expect(inventory.during('a', () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(inventory.isBusy('a')).toBe(false)
  })

  it('drops the answer to a question that was asked before the one answered last', () => {
    const { inventory, events } = newInventory()
    inventory.observeAll([web])
    const early = inventory.ask()
    inventory.observe({ ...web, state: 'running' })
    expect(inventory.observe(web, early)).toBe(false)
    inventory.observeAll([], early)
    expect(events).toMatchObject([{ type: 'state', state: 'running' }])
    expect(inventory.has('a')).toBe(true)
  })

  it('drops answers that were asked for before a look that shows nothing', () => {
    const { inventory } = newInventory()
    inventory.observeAll([web])
    const early = inventory.ask()
    inventory.observe({ id: 'a' })
    expect(inventory.observe({ ...web, state: 'running' }, early)).toBe(false)
    expect(inventory.stateOf('a')).toBe('stopped')
  })

  it('makes no event of the first look at a VM that was there before the connection', () => {
    const { inventory, events } = newInventory()
    inventory.expect('a')
    inventory.observe({ ...web, state: 'running' })
    inventory.observe(web)
    expect(events).toMatchObject([{ type: 'state', state: 'stopped', previous: 'running' }])
  })

  it('makes no event of a state that is first seen after the VM was told of', () => {
    const { inventory, events } = newInventory()
    inventory.observe({ id: 'a', name: 'web-1' })
    inventory.observe({ ...web, state: 'running' })
    expect(events).toEqual([{ type: 'created', vmId: 'a', name: 'web-1', at }])
  })

  it('tells of snapshots that differ, and of the first ones only if the host says so', () => {
    const { inventory, events } = newInventory()
    inventory.observeAll([web, db])
    inventory.observeSnapshots('a', ['first'])
    inventory.observeSnapshots('a', ['first'], true)
    expect(events).toEqual([])
    inventory.observeSnapshots('a', ['first', 'second'])
    inventory.observeSnapshots('b', ['first'], true)
    inventory.observeSnapshots('c', ['first'], true)
    expect(events).toEqual([
      { type: 'snapshots', vmId: 'a', name: 'web-1', at },
      { type: 'snapshots', vmId: 'b', name: 'db-1', at },
    ])
  })

  it('tells once that a VM is gone', () => {
    const { inventory, events } = newInventory()
    inventory.observeAll([web])
    inventory.forget('a')
    inventory.forget('a')
    expect(events).toEqual([{ type: 'deleted', vmId: 'a', name: 'web-1', at }])
    expect(inventory.stateOf('a')).toBeUndefined()
  })
})
