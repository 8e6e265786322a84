import { expect } from 'vitest'
import { failureOf } from '../expect-failure.js'
import { refusedPathOf } from '../host.js'
import type { Cases } from '../case.js'

const oddNames = [
  'Ünïcödé 虚拟机 🚀',
  'two words',
  '-rf',
  '--help',
  '$(reboot)',
  '%2e%2e%2f',
  '.hidden',
  '..a',
  '"quoted" \'name\'',
  'a;b&c|d',
  '*',
  '<x>&amp;',
  'con',
  '__proto__',
  'x'.repeat(128),
  '虚'.repeat(128),
]

export const lookup: Cases = ({ host, promises }) => {
  promises('a new host has no VMs', ['server.getVmList'], async ({ server }) => {
    expect(await server.getVmList().unwrap()).toEqual([])
  })

  promises('a VM is found by its name and by its id, as the same object', ['server.getVm'], async (trial) => {
    const vm = await trial.createVm()
    expect(await trial.server.getVm(vm.name).unwrap()).toBe(vm)
    expect(await trial.server.getVm(vm.id).unwrap()).toBe(vm)
  })

  promises("an id goes before a name: no VM is named like another one's id", ['vm.edit', 'vm.clone'], async (trial) => {
    const first = await trial.createVm()
    const second = await trial.createVm()
    await failureOf(trial.server.createVm({ name: first.id }), 'ALREADY_EXISTS')
    await failureOf(second.edit({ name: first.id }), 'ALREADY_EXISTS')
    await failureOf(second.clone({ name: first.id }), 'ALREADY_EXISTS')
    expect(await trial.server.getVm(first.id).unwrap()).toBe(first)
    expect(await trial.server.getVmList().unwrap()).toHaveLength(2)
  })

  promises('a VM is listed once, however often it is listed', ['server.getVmList'], async (trial) => {
    const first = await trial.createVm()
    const second = await trial.createVm()
    for (let times = 0; times < 2; times += 1) {
      const list = await trial.server.getVmList().unwrap()
      expect(list).toHaveLength(2)
      expect(new Set(list)).toEqual(new Set([first, second]))
    }
  })

  promises(
    'the list can be filtered by name and by state',
    ['server.getVmList', 'vm.start', 'guest'],
    async (trial) => {
      const { server } = trial
      const stopped = await trial.createVm()
      const { vm: running } = await trial.runningVm()
      expect(await server.getVmList({ name: stopped.name }).unwrap()).toEqual([stopped])
      expect(await server.getVmList({ name: stopped.name.slice(0, -1) }).unwrap()).toEqual([])
      expect(await server.getVmList({ state: 'running' }).unwrap()).toEqual([running])
      expect(await server.getVmList({ state: 'stopped' }).unwrap()).toEqual([stopped])
      expect(await server.getVmList({ state: 'paused' }).unwrap()).toEqual([])
      expect(await server.getVmList({ state: 'running', name: stopped.name }).unwrap()).toEqual([])
      expect(await server.getVmList({ state: 'running', name: running.name }).unwrap()).toEqual([running])
    },
  )

  promises('a list by labels has the VMs with all of them', ['server.getVmList'], async (trial) => {
    const { server } = trial
    const hasNone = await trial.createVm()
    expect(await server.getVmList({ labels: { job: '1' } }).unwrap()).toEqual([])
    expect(await server.getVmList({ labels: {} }).unwrap()).toEqual([hasNone])
    if (refusedPathOf(host, 'spec.labels') !== undefined) return
    const first = await trial.createVm({ labels: { job: '1', team: 'red' } })
    const second = await trial.createVm({ labels: { job: '1', team: 'blue' } })
    const listed = async (labels: Readonly<Record<string, string>>): Promise<ReadonlySet<unknown>> =>
      new Set(await server.getVmList({ labels }).unwrap())
    expect(await listed({ job: '1' })).toEqual(new Set([first, second]))
    expect(await listed({ job: '1', team: 'blue' })).toEqual(new Set([second]))
    expect(await listed({ job: '2' })).toEqual(new Set())
    expect(await listed({ job: '1', constructor: 'Object' })).toEqual(new Set())
    expect(await server.getVmList({ labels: { job: '1' }, name: first.name }).unwrap()).toEqual([first])
    expect(await server.getVmList({ labels: { team: 'blue' }, name: first.name }).unwrap()).toEqual([])
  })

  promises('a name or id that no VM has ends with VM_NOT_FOUND', ['server.getVm'], async ({ server }) => {
    for (const name of [
      'no-such-vm',
      '00000000-0000-4000-8000-000000000000',
      '../etc',
      '.',
      'x'.repeat(5000),
      'a\0b',
    ]) {
      const error = await failureOf(server.getVm(name), 'VM_NOT_FOUND')
      expect(error.operation).toBe('server.getVm')
      expect(error.hint).toBeTruthy()
    }
  })

  promises('part of a name, or a name in another case, finds nothing', ['server.getVm'], async (trial) => {
    const vm = await trial.createVm({ name: 'Web-1' })
    for (const name of ['Web', 'eb-1', 'Web-1 ', 'Web-11', 'web-1']) {
      await failureOf(trial.server.getVm(name), 'VM_NOT_FOUND')
    }
    expect(await trial.server.getVm('Web-1').unwrap()).toBe(vm)
  })

  promises('vm.native.details has the name of the driver', ['server.createVm'], async (trial) => {
    const { details } = (await trial.createVm()).native
    if (details !== undefined) expect(details.driver).toBe(trial.server.driver)
    else expect(trial.server.driver).not.toBe('qmp')
  })

  const fits = (name: string): boolean => Buffer.byteLength(name) <= host.maxNameBytes
  const names = oddNames.filter(fits)
  if (names.length < oddNames.length) {
    promises('a name that is too long is refused by a creation and by an edit', ['vm.edit'], async (trial) => {
      const vm = await trial.createVm()
      const before = vm.config
      for (const name of oddNames.filter((each) => !fits(each))) {
        const error = await failureOf(trial.server.createVm({ name }), 'INVALID_ARGUMENT')
        expect(error.path).toBe('spec.name')
        expect((await failureOf(vm.edit({ name }), 'INVALID_ARGUMENT')).path).toBe('changes.name')
      }
      expect(await vm.refresh().unwrap()).toEqual(before)
      expect(await trial.server.getVmList().unwrap()).toEqual([vm])
    })
  }

  promises('unusual names are kept unchanged', ['server.createVm', 'server.getVm'], async (trial) => {
    for (const name of names) {
      const vm = await trial.createVm({ name })
      expect(vm.name).toBe(name)
      expect(await trial.server.getVm(name).unwrap()).toBe(vm)
    }
    const found = (await trial.server.getVmList().unwrap()).map((vm) => vm.name)
    expect(found.sort()).toEqual([...names].sort())
  })

  if (!host.keepsVms) return

  promises(
    'VMs are still there for the next connection, with their names, ids and settings',
    ['server.createVm'],
    async (trial) => {
      const made = await Promise.all(names.map((name) => trial.createVm({ name, description: `This is ${name}` })))
      const before = made.map(({ id, config, state }) => ({ id, config, state }))
      const server = await trial.reopen()
      const found = await Promise.all(made.map(({ id }) => server.getVm(id).unwrap()))
      expect(found.map(({ id, config, state }) => ({ id, config, state }))).toEqual(before)
      expect(await server.getVmList().unwrap()).toHaveLength(names.length)
    },
  )
}
