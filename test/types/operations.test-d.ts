import type { Job, OperationCode, Server, StartErrors, Vm, VmGuest, VmNative } from 'awaitvm'
import { operations } from 'awaitvm'
import type { DriverOperation, DriverOperationTypes, VmRecord } from 'awaitvm/driver'
import { describe, expectTypeOf, test } from 'vitest'
import type { actions } from '../../src/drivers/simulated/actions.js'
import type { OperationMethods } from '../../src/operation-methods.js'
import type { serverCalls, vmCalls } from '../../src/testing/conformance/calls.js'

declare const vm: Vm
declare const server: Server
declare const guest: VmGuest

describe('an operation of the table', () => {
  test('is a driver’s if the table says what it answers', () => {
    expectTypeOf<keyof DriverOperationTypes>().toEqualTypeOf<DriverOperation>()
    expectTypeOf<Extract<DriverOperation, 'vm.refresh' | 'vm.waitForState' | 'server.close' | 'batch'>>().toBeNever()
    expectTypeOf<Exclude<OperationCode, DriverOperation>>().toExtend<
      'connect' | 'server.close' | 'vm.refresh' | 'vm.waitForState' | 'console.waitFor' | `job.${string}` | 'batch'
    >()
  })

  test('is answered as the table says', () => {
    expectTypeOf<DriverOperationTypes['vm.clone']['output']>().toEqualTypeOf<VmRecord>()
    expectTypeOf<DriverOperationTypes['vm.delete']['output']>().toEqualTypeOf<void>()
    expectTypeOf(operations['vm.start'].answers).toEqualTypeOf<'state'>()
  })
})

describe('an operation that is left out does not compile', () => {
  test('as a method of a facade', () => {
    expectTypeOf(vm).toExtend<OperationMethods<'vm'>>()
    expectTypeOf(server).toExtend<OperationMethods<'server'>>()
    expectTypeOf(guest).toExtend<OperationMethods<'guest'>>()
    expectTypeOf<Omit<Vm, 'resume'>>().not.toExtend<OperationMethods<'vm'>>()
    expectTypeOf<Omit<Server, 'getInfo'>>().not.toExtend<OperationMethods<'server'>>()
    expectTypeOf<Omit<VmGuest, 'copyOut'>>().not.toExtend<OperationMethods<'guest'>>()
    expectTypeOf<Omit<VmNative, 'qmp'>>().not.toExtend<OperationMethods<'native'>>()
  })

  test('nor does a method whose job ends with other errors than those of its operation', () => {
    type Wrong = Omit<Vm, 'getState'> & { getState(): Job<unknown, StartErrors> }
    expectTypeOf<Wrong>().not.toExtend<OperationMethods<'vm'>>()
  })

  test('as an action of the simulated host', () => {
    expectTypeOf<keyof typeof actions>().toEqualTypeOf<DriverOperation>()
  })

  test('as a call of the conformance suite', () => {
    expectTypeOf<keyof typeof vmCalls>().toEqualTypeOf<
      Extract<OperationCode, `vm.${string}` | `guest.${string}` | `native.${string}`>
    >()
    expectTypeOf<keyof typeof serverCalls | 'server.createVm' | 'server.getJobs' | 'server.close'>().toEqualTypeOf<
      Extract<OperationCode, `server.${string}` | `images.${string}`>
    >()
  })
})
