import { expect } from 'vitest'
import { Job } from '../../../job/job.js'
import type { Cases } from '../case.js'

export const many: Cases = ({ promises }) => {
  promises('eight VMs run at once, each on its own', ['vm.start', 'vm.stop', 'guest'], async (trial) => {
    const { server } = trial
    const machines = await Promise.all(
      Array.from({ length: 8 }, async (_, index) => {
        const machine = await trial.runningVmWithDisk()
        await machine.guest.writeDisk(index + 1)
        return machine
      }),
    )
    expect(await server.getVmList({ state: 'running' }).unwrap()).toHaveLength(8)
    expect(await Promise.all(machines.map(({ guest }) => guest.readDisk()))).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    await machines[3]!.vm.stop({ mode: 'kill' }).unwrap()
    expect(await Promise.all(machines.toSpliced(3, 1).map(({ guest }) => guest.count()))).toEqual(Array(7).fill(3))
    await Job.all(machines.toSpliced(3, 1).map(({ vm }) => vm.stop())).unwrap()
    expect(await server.getVmList({ state: 'stopped' }).unwrap()).toHaveLength(8)
  })

  promises(
    'a hundred VMs are made, listed and deleted',
    ['server.createVm', 'server.getVmList', 'vm.delete'],
    async (trial) => {
      const { profile, server } = trial
      const before = await trial.opened.files?.()
      const names = Array.from({ length: 100 }, (_, index) => `vm-${index}`)
      const vms = await Job.all(names.map((name) => server.createVm({ ...profile.spec, name }))).unwrap()
      expect(vms.map(({ name }) => name)).toEqual(names)
      expect(new Set(vms.map(({ id }) => id)).size).toBe(100)
      expect(new Set(await server.getVmList().unwrap())).toEqual(new Set(vms))
      await Job.all(vms.map((vm) => vm.delete())).unwrap()
      expect(await server.getVmList().unwrap()).toEqual([])
      expect(await trial.opened.files?.()).toEqual(before)
    },
  )
}
