import { expect } from 'vitest'
import type { VmError } from '../../errors.js'
import { features, type Capability, type Feature } from '../../operations.js'
import type { Result } from '../../result.js'
import type { Vm } from '../../vm.js'
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

type Call = (vm: Vm, trial: Trial) => PromiseLike<Result<unknown, VmError>>

/** The features that are options of an operation, with a call that asks for each. */
const options = {
  'vm.clone.linked': { of: 'vm.clone', call: (vm) => vm.clone({ name: 'refused', linked: true }) },
  'vm.clone.memory': { of: 'vm.clone', call: (vm) => vm.clone({ name: 'refused', memory: true }) },
  'vm.clone.ephemeral': { of: 'vm.clone', call: (vm) => vm.clone({ name: 'refused', ephemeral: true }) },
  'vm.exportDisk.formats': {
    of: 'vm.exportDisk',
    call: (vm, trial) => vm.exportDisk(vm.config.disks[0]?.id ?? 'none', trial.path('refused'), { format: 'qcow2' }),
  },
} as const satisfies Partial<Record<Feature, { readonly of: VmOperation; readonly call: Call }>>
type Option = keyof typeof options
const isOption = (capability: Capability): capability is Option => capability in options

/** The capabilities that a host may lack. */
export const refusable: readonly Capability[] = [...serverOperations, ...vmOperations, ...features]

/** Asserts that each missing capability ends with a NotSupportedError that names it, and that nothing has changed. */
export async function expectRefusal(trial: Trial, missing: readonly Capability[]): Promise<void> {
  for (const capability of missing) {
    if (isServerOperation(capability)) {
      const error = await failureOf(serverCalls[capability](trial.server, trial), 'NOT_SUPPORTED')
      expect(error.capability).toBe(capability)
    } else if (isVmOperation(capability) || isOption(capability)) {
      await expectVmRefusal(trial, capability)
    } else if (capability === 'vm.edit.live') {
      await expectLiveEditRefusal(trial)
    }
  }
}

async function expectVmRefusal(trial: Trial, capability: VmOperation | Option): Promise<void> {
  const { server } = trial
  if (!server.capabilities.has('server.createVm')) return
  const vm = await trial.createVm()
  const before = await vm.refresh().unwrap()
  const listed = await server.getVmList().unwrap()
  const { of, call } = isOption(capability) ? options[capability] : { of: capability, call: vmCalls[capability] }
  const error = await failureOf(call(vm, trial), 'NOT_SUPPORTED')
  // A host without the operation names that for each of its options, too.
  expect(error.capability).toBe(server.capabilities.has(of) ? capability : of)
  expect(error.message).toContain(vm.name)
  expect(error.hint).toBeTruthy()
  await trial.expectState(vm, 'stopped')
  expect(await vm.refresh().unwrap()).toEqual(before)
  expect(await server.getVmList().unwrap()).toEqual(listed)
}

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
