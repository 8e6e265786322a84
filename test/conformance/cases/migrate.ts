import { connect } from 'awaitvm'
import { expect } from 'vitest'
import { failureOf } from '../../support/expect-failure.js'
import type { Cases } from '../suite.js'

export const migrate: Cases = ({ promises }) => {
  promises('a VM that was moved is on the other host, and not on this one any more', ['vm.migrate'], async (trial) => {
    const vm = await trial.createVm({ description: 'on its way' })
    const target = trial.opened.migrationTarget!
    await vm.migrate(target).unwrap()
    await failureOf(trial.server.getVm(vm.name), 'VM_NOT_FOUND')
    await using server = await connect(target).unwrap()
    const moved = await server.getVm(vm.name).unwrap()
    expect(moved.config).toMatchObject({ description: 'on its way', memoryMiB: vm.config.memoryMiB })
    await moved.delete().unwrap()
  })
}
