import { writeFile } from 'node:fs/promises'
import { expect } from 'vitest'
import type { VmSpec } from '../../../model/vm-spec.js'
import { wallClockMs } from '../../../clock.js'
import { failureOf } from '../expect-failure.js'
import { refusedPathOf } from '../host.js'
import type { Cases } from '../case.js'

export const createAndValidate: Cases = ({ host, promises }) => {
  const isRefused = (setting: string): boolean => refusedPathOf(host, setting) !== undefined

  promises('a new VM is stopped, and its record is what was asked for', ['server.createVm'], async (trial) => {
    const image = trial.path('disk.img')
    await writeFile(image, Buffer.alloc(2 << 20, 7))
    const spec: VmSpec = {
      ...trial.profile.specWithDisk,
      name: 'as-asked',
      description: 'Line 1\nLine 2, "quoted" <tag> ünï',
      cpus: 1,
      memoryMiB: 24,
      ...(!isRefused('spec.disks') && {
        disks: [{ sizeMiB: 3 }, isRefused('spec.disks.image') ? { sizeMiB: 2 } : { image }],
      }),
    }
    const started = wallClockMs()
    const vm = await trial.server.createVm(spec).unwrap()
    expect(vm.config).toMatchObject(spec)
    expect(vm.name).toBe('as-asked')
    expect(vm.id).toMatch(/^\S+$/)
    if (host.untold.includes('createdAt')) expect(vm.config.createdAt).toBeUndefined()
    else {
      expect(vm.config.createdAt!.getTime()).toBeGreaterThan(started - 2000)
      expect(vm.config.createdAt!.getTime()).toBeLessThan(wallClockMs() + 2000)
    }
    const config = vm.config
    expect(await vm.refresh().unwrap()).toEqual(config)
    await trial.expectState(vm, 'stopped')
  })

  promises('settings that are not given have defaults', ['server.createVm'], async ({ server }) => {
    const { config } = await server.createVm({ name: 'plain' }).unwrap()
    expect(config).toMatchObject({ name: 'plain', description: '', cpus: 1, disks: [], floppies: [] })
    expect(config.cdroms.filter(({ image }) => image !== undefined)).toEqual([])
    expect(config.memoryMiB).toBeGreaterThanOrEqual(1)
  })

  promises(
    'a VM keeps its settings if the spec is modified later',
    ['server.createVm'],
    async ({ server, profile }) => {
      const spec = { ...profile.spec, name: 'first', description: 'first' }
      const creating = server.createVm(spec)
      spec.name = 'second'
      spec.description = 'second'
      const vm = await creating.unwrap()
      spec.name = 'third'
      expect(await vm.refresh().unwrap()).toMatchObject({ name: 'first', description: 'first' })
    },
  )

  promises(
    'a name that is taken ends with ALREADY_EXISTS, and its VM is untouched',
    ['server.createVm', 'guest'],
    async (trial) => {
      const { profile, server } = trial
      const { vm, guest } = await trial.runningVm({ description: 'the first' })
      const before = await vm.refresh().unwrap()
      const counted = await guest.count()
      const error = await failureOf(
        server.createVm({ ...profile.spec, name: vm.name, description: 'the second' }),
        'ALREADY_EXISTS',
      )
      expect(error.message).toContain(vm.name)
      expect(await server.getVmList().unwrap()).toEqual([vm])
      expect(await vm.refresh().unwrap()).toEqual(before)
      await trial.expectState(vm, 'running')
      expect(await guest.count()).toBe(counted + 1)
    },
  )

  promises(
    'of several creations with one name at once, one succeeds',
    ['server.createVm'],
    async ({ server, profile }) => {
      const results = await Promise.all(
        Array.from({ length: 5 }, () => server.createVm({ ...profile.spec, name: 'wanted' })),
      )
      const codes = results.map((result) => (result.isOk() ? 'made' : result.error.code)).sort()
      expect(codes).toEqual(['ALREADY_EXISTS', 'ALREADY_EXISTS', 'ALREADY_EXISTS', 'ALREADY_EXISTS', 'made'])
      expect(await server.getVmList().unwrap()).toHaveLength(1)
    },
  )

  promises('a creation with an aborted signal makes nothing', ['server.createVm'], async ({ server, profile }) => {
    const job = server.createVm({ ...profile.spec, name: 'never' }, { signal: AbortSignal.abort() })
    await failureOf(job, 'JOB_CANCELLED')
    expect(await server.getVmList().unwrap()).toEqual([])
  })

  promises(
    'a cancelled creation makes a VM or none, as its result says',
    ['server.createVm'],
    async ({ server, profile }) => {
      const job = server.createVm({ ...profile.spec, name: 'maybe' })
      await job.cancel()
      const result = await job
      expect(await server.getVmList().unwrap()).toEqual(result.isOk() ? [result.value] : [])
    },
  )
}
