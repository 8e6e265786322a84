import {
  matchError,
  type Server,
  type StartError,
  type Vm,
  type VmError,
  type VmErrorCode,
  type VmErrors,
  type VmGuest,
  type InvalidStateError,
  type JobError,
  type OperationCode,
  type OperationError,
  type ResourceBusyError,
  type VmNotFoundError,
} from 'awaitvm'
import type * as awaitvm from 'awaitvm'
import { describe, expectTypeOf, test } from 'vitest'

type Either = VmNotFoundError | ResourceBusyError
declare const error: Either
declare const started: StartError

type ErrorOf<F> = F extends (...args: never[]) => infer J ? JobError<J> : never

describe('each method ends with the union that is exported by name', () => {
  test('of the server', () => {
    expectTypeOf<ErrorOf<typeof awaitvm.connect>>().toEqualTypeOf<awaitvm.ConnectError>()
    expectTypeOf<ErrorOf<Server['getInfo']>>().toEqualTypeOf<awaitvm.GetInfoError>()
    expectTypeOf<ErrorOf<Server['getVmList']>>().toEqualTypeOf<awaitvm.GetVmListError>()
    expectTypeOf<ErrorOf<Server['getVm']>>().toEqualTypeOf<awaitvm.GetVmError>()
    expectTypeOf<ErrorOf<Server['createVm']>>().toEqualTypeOf<awaitvm.CreateVmError>()
    expectTypeOf<ErrorOf<Server['registerVm']>>().toEqualTypeOf<awaitvm.RegisterVmError>()
    expectTypeOf<ErrorOf<Server['getJobs']>>().toEqualTypeOf<awaitvm.GetJobsError>()
    expectTypeOf<ErrorOf<Server['attachJob']>>().toEqualTypeOf<awaitvm.AttachJobError>()
    expectTypeOf<ErrorOf<Server['close']>>().toEqualTypeOf<awaitvm.CloseError>()
  })

  test('of a VM', () => {
    expectTypeOf<ErrorOf<Vm['getState']>>().toEqualTypeOf<awaitvm.GetStateError>()
    expectTypeOf<ErrorOf<Vm['refresh']>>().toEqualTypeOf<awaitvm.RefreshError>()
    expectTypeOf<ErrorOf<Vm['waitForState']>>().toEqualTypeOf<awaitvm.WaitForStateError>()
    expectTypeOf<ErrorOf<Vm['start']>>().toEqualTypeOf<awaitvm.StartError>()
    expectTypeOf<ErrorOf<Vm['stop']>>().toEqualTypeOf<awaitvm.StopError>()
    expectTypeOf<ErrorOf<Vm['pause']>>().toEqualTypeOf<awaitvm.PauseError>()
    expectTypeOf<ErrorOf<Vm['resume']>>().toEqualTypeOf<awaitvm.ResumeError>()
    expectTypeOf<ErrorOf<Vm['suspend']>>().toEqualTypeOf<awaitvm.SuspendError>()
    expectTypeOf<ErrorOf<Vm['reset']>>().toEqualTypeOf<awaitvm.ResetError>()
    expectTypeOf<ErrorOf<Vm['restart']>>().toEqualTypeOf<awaitvm.RestartError>()
    expectTypeOf<ErrorOf<Vm['edit']>>().toEqualTypeOf<awaitvm.EditError>()
    expectTypeOf<ErrorOf<Vm['clone']>>().toEqualTypeOf<awaitvm.CloneError>()
    expectTypeOf<ErrorOf<Vm['delete']>>().toEqualTypeOf<awaitvm.DeleteError>()
    expectTypeOf<ErrorOf<Vm['unregister']>>().toEqualTypeOf<awaitvm.UnregisterError>()
    expectTypeOf<ErrorOf<Vm['migrate']>>().toEqualTypeOf<awaitvm.MigrateError>()
    expectTypeOf<ErrorOf<Vm['createSnapshot']>>().toEqualTypeOf<awaitvm.CreateSnapshotError>()
    expectTypeOf<ErrorOf<Vm['getSnapshotTree']>>().toEqualTypeOf<awaitvm.GetSnapshotTreeError>()
    expectTypeOf<ErrorOf<Vm['switchToSnapshot']>>().toEqualTypeOf<awaitvm.SwitchToSnapshotError>()
    expectTypeOf<ErrorOf<Vm['deleteSnapshot']>>().toEqualTypeOf<awaitvm.DeleteSnapshotError>()
    expectTypeOf<ErrorOf<Vm['getStatistics']>>().toEqualTypeOf<awaitvm.GetStatisticsError>()
    expectTypeOf<ErrorOf<Vm['screenshot']>>().toEqualTypeOf<awaitvm.ScreenshotError>()
    expectTypeOf<ErrorOf<Vm['sendKeys']>>().toEqualTypeOf<awaitvm.SendKeysError>()
  })

  test('of a guest', () => {
    expectTypeOf<ErrorOf<VmGuest['exec']>>().toEqualTypeOf<awaitvm.ExecError>()
    expectTypeOf<ErrorOf<VmGuest['getNetworkAddresses']>>().toEqualTypeOf<awaitvm.GetNetworkAddressesError>()
    expectTypeOf<ErrorOf<VmGuest['copyIn']>>().toEqualTypeOf<awaitvm.CopyInError>()
    expectTypeOf<ErrorOf<VmGuest['copyOut']>>().toEqualTypeOf<awaitvm.CopyOutError>()
  })

  test('of cancel', () => {
    expectTypeOf<ErrorOf<awaitvm.JobRef<unknown>['cancel']>>().toEqualTypeOf<awaitvm.CancelError>()
  })
})

test('every error of the table is of its code, and is a VmError', () => {
  expectTypeOf<{ [C in VmErrorCode]: VmErrors[C]['code'] }>().toEqualTypeOf<{ [C in VmErrorCode]: C }>()
  expectTypeOf<VmErrors[VmErrorCode]>().toExtend<VmError>()
  expectTypeOf<OperationError<OperationCode>>().toExtend<VmErrors[VmErrorCode]>()
})

describe('switch', () => {
  test('narrows, and never is left when all cases are there', () => {
    const describeError = (one: Either): string => {
      switch (one.code) {
        case 'VM_NOT_FOUND':
          expectTypeOf(one).toEqualTypeOf<VmNotFoundError>()
          return 'gone'
        case 'RESOURCE_BUSY':
          expectTypeOf(one).toEqualTypeOf<ResourceBusyError>()
          return String(one.pid)
        default:
          return one satisfies never
      }
    }
    expectTypeOf(describeError).returns.toBeString()
  })

  test('that misses a case does not compile', () => {
    const describeError = (one: Either): string => {
      switch (one.code) {
        case 'VM_NOT_FOUND':
          return 'gone'
        default:
          // @ts-expect-error RESOURCE_BUSY is missing
          return one satisfies never
      }
    }
    // @ts-expect-error it may end without a return
    const withoutDefault = (one: Either): string => {
      // eslint-disable-next-line @typescript-eslint/switch-exhaustiveness-check
      switch (one.code) {
        case 'VM_NOT_FOUND':
          return 'gone'
      }
    }
    expectTypeOf(describeError).toBeFunction()
    expectTypeOf(withoutDefault).toBeFunction()
  })
})

describe('matchError', () => {
  test('gives each handler the error of its code', () => {
    const value = matchError(error, {
      VM_NOT_FOUND: (one) => {
        expectTypeOf(one).toEqualTypeOf<VmNotFoundError>()
        return 1
      },
      RESOURCE_BUSY: (one) => one.pid ?? 0,
    })
    expectTypeOf(value).toBeNumber()
  })

  test('takes a rest', () => {
    const value = matchError(started, {
      INVALID_STATE: (one) => {
        expectTypeOf(one).toEqualTypeOf<InvalidStateError>()
        return one.message
      },
      _: (one) => {
        expectTypeOf(one).toEqualTypeOf<StartError>()
        return one.message
      },
    })
    expectTypeOf(value).toBeString()
  })

  test('that misses a code does not compile', () => {
    // @ts-expect-error RESOURCE_BUSY is missing
    matchError(error, { VM_NOT_FOUND: () => 1 })
  })

  test('with a code that can not occur does not compile', () => {
    // @ts-expect-error the union has no TIMEOUT
    matchError(error, { VM_NOT_FOUND: () => 1, RESOURCE_BUSY: () => 2, TIMEOUT: () => 3 })
  })
})
