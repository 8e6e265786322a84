import { describe, expect, it } from 'vitest'
import type { VmRecord } from '../../../src/model/vm-record.js'
import { filterVms, findVm } from '../../../src/driver/vm-lookup.js'

const vm = (id: string, name: string, state: VmRecord['state'] = 'stopped'): VmRecord => ({
  id,
  state,
  config: { name, description: '', cpus: 1, memoryMiB: 512, disks: [], cdroms: [], floppies: [], boot: {} },
})

describe('a lookup in a list of VMs', () => {
  const vms = [vm('a', 'web-1'), vm('b', 'a', 'running'), vm('c', 'web-2', 'running')]

  it('finds a VM by its name, and by an id first', () => {
    expect(findVm(vms, 'web-2').id).toBe('c')
    expect(findVm(vms, 'a').id).toBe('a')
  })

  it('finds an id in another spelling', () => {
    expect(findVm(vms, '{B}', (text) => text.replace(/[{}]/g, '').toLowerCase()).id).toBe('b')
  })

  it('fails for a VM that is not there', () => {
    expect(() => findVm(vms, 'db-1')).toThrow(expect.objectContaining({ code: 'VM_NOT_FOUND' }))
  })

  it('keeps the VMs that match the whole filter', () => {
    const idsOf = (filter: Parameters<typeof filterVms>[1]): string[] => filterVms(vms, filter).map(({ id }) => id)
    expect(idsOf({})).toEqual(['a', 'b', 'c'])
    expect(idsOf({ state: 'running' })).toEqual(['b', 'c'])
    expect(idsOf({ name: 'web-2', state: 'running' })).toEqual(['c'])
    expect(idsOf({ name: 'web-1', state: 'running' })).toEqual([])
  })
})
