import { expect } from 'vitest'
import { features, type Capability } from '../../operations.js'
import { failureOf } from './expect-failure.js'
import {
  serverCalls,
  serverOperations,
  type ServerOperation,
  vmCalls,
  vmOperations,
  type VmOperation,
} from './calls.js'
import type { Trial } from './trial.js'

const isVmOperation = (capability: Capability): capability is VmOperation => capability in vmCalls
const isServerOperation = (capability: Capability): capability is ServerOperation => capability in serverCalls

/** The options of clones that a host may lack. */
const waysToClone = {
  'vm.clone.linked': { linked: true },
  'vm.clone.memory': { memory: true },
  'vm.clone.ephemeral': { ephemeral: true },
} as const
type WayToClone = keyof typeof waysToClone
const isWayToClone = (capability: Capability): capability is WayToClone => capability in waysToClone

/** The capabilities that a host may lack. */
export const refusable: readonly Capability[] = [...serverOperations, ...vmOperations, ...features]

/** Asserts that each missing capability ends with a NotSupportedError that names it, and that nothing has changed. */
export async function expectRefusal(trial: Trial, missing: readonly Capability[]): Promise<void> {
  for (const capability of missing) {
    if (isServerOperation(capability)) {
      const error = await failureOf(serverCalls[capability](trial.server, trial), 'NOT_SUPPORTED')
      expect(error.capability).toBe(capability)
    } else if (isVmOperation(capability) || isWayToClone(capability)) {
      await expectVmRefusal(trial, capability)
    } else if (capability === 'vm.edit.live') {
      await expectLiveEditRefusal(trial)
    }
  }
}

async function expectVmRefusal(trial: Trial, capability: VmOperation | WayToClone): Promise<void> {
  const { server } = trial
  if (!server.capabilities.has('server.createVm')) return
  const vm = await trial.createVm()
  const before = await vm.refresh().unwrap()
  const listed = await server.getVmList().unwrap()
  const call = isWayToClone(capability)
    ? vm.clone({ name: 'refused', ...waysToClone[capability] })
    : vmCalls[capability](vm, trial)
  const error = await failureOf(call, 'NOT_SUPPORTED')
  // A host without clones names `vm.clone` for each way to clone, too.
  expect(error.capability).toBe(server.capabilities.has('vm.clone') ? capability : operationOf(capability))
  expect(error.message).toContain(vm.name)
  expect(error.hint).toBeTruthy()
  await trial.expectState(vm, 'stopped')
  expect(await vm.refresh().unwrap()).toEqual(before)
  expect(await server.getVmList().unwrap()).toEqual(listed)
}

const operationOf = (capability: VmOperation | WayToClone): VmOperation =>
  isWayToClone(capability) ? 'vm.clone' : capability

/** Without live edits, an edit of a running VM's hardware is refused as a whole, with INVALID_STATE. */
async function expectLiveEditRefusal(trial: Trial): Promise<void> {
  const { missing, runsBare = false } = trial.profile
  if (!trial.server.capabilities.has('vm.edit') || (missing !== undefined && !runsBare)) return
  const vm = await trial.vmIn('running')
  const before = vm.config
  const error = await failureOf(
    vm.edit({ description: 'half of it', memoryMiB: before.memoryMiB + 8 }),
    'INVALID_STATE',
  )
  expect(error.state).toBe('running')
  expect(error.expected).toContain('stopped')
  expect(error.hint).toBeTruthy()
  expect(await vm.refresh().unwrap()).toEqual(before)
  await trial.expectState(vm, 'running')
}
