import {
  matchError,
  type ExecJob,
  type Server,
  type ServerImages,
  type StartErrors,
  type Vm,
  type VmError,
  type VmErrorCode,
  type VmErrors,
  type VmGuest,
  type InvalidStateError,
  type JobError,
  type OperationCode,
  type OperationErrors,
  type ResourceBusyError,
  type VmNotFoundError,
} from 'awaitvm'
import type * as awaitvm from 'awaitvm'
import { describe, expectTypeOf, test } from 'vitest'

type Either = VmNotFoundError | ResourceBusyError
declare const error: Either
declare const started: StartErrors

type ErrorOf<F> = F extends (...args: never[]) => infer J ? JobError<J> : never

describe('each method ends with the union that is exported by name', () => {
  test('of the server', () => {
    expectTypeOf<ErrorOf<typeof awaitvm.connect>>().toEqualTypeOf<awaitvm.ConnectErrors>()
    expectTypeOf<ErrorOf<ServerImages['list']>>().toEqualTypeOf<awaitvm.ListImagesErrors>()
    expectTypeOf<ErrorOf<ServerImages['fetch']>>().toEqualTypeOf<awaitvm.FetchImageErrors>()
    expectTypeOf<ErrorOf<ServerImages['remove']>>().toEqualTypeOf<awaitvm.RemoveImageErrors>()
    expectTypeOf<ErrorOf<Server['getInfo']>>().toEqualTypeOf<awaitvm.GetInfoErrors>()
    expectTypeOf<ErrorOf<Server['getVmList']>>().toEqualTypeOf<awaitvm.GetVmListErrors>()
    expectTypeOf<ErrorOf<Server['getVm']>>().toEqualTypeOf<awaitvm.GetVmErrors>()
    expectTypeOf<ErrorOf<Server['createVm']>>().toEqualTypeOf<awaitvm.CreateVmErrors>()
    expectTypeOf<ErrorOf<Server['registerVm']>>().toEqualTypeOf<awaitvm.RegisterVmErrors>()
    expectTypeOf<ErrorOf<Server['getJobs']>>().toEqualTypeOf<awaitvm.GetJobsErrors>()
    expectTypeOf<ErrorOf<Server['attachJob']>>().toEqualTypeOf<awaitvm.AttachJobErrors>()
    expectTypeOf<ErrorOf<Server['close']>>().toEqualTypeOf<awaitvm.CloseErrors>()
  })

  test('of a VM', () => {
    expectTypeOf<ErrorOf<Vm['getState']>>().toEqualTypeOf<awaitvm.GetStateErrors>()
    expectTypeOf<ErrorOf<Vm['refresh']>>().toEqualTypeOf<awaitvm.RefreshErrors>()
    expectTypeOf<ErrorOf<Vm['waitForState']>>().toEqualTypeOf<awaitvm.WaitForStateErrors>()
    expectTypeOf<ErrorOf<Vm['start']>>().toEqualTypeOf<awaitvm.StartErrors>()
    expectTypeOf<ErrorOf<Vm['stop']>>().toEqualTypeOf<awaitvm.StopErrors>()
    expectTypeOf<ErrorOf<Vm['pause']>>().toEqualTypeOf<awaitvm.PauseErrors>()
    expectTypeOf<ErrorOf<Vm['resume']>>().toEqualTypeOf<awaitvm.ResumeErrors>()
    expectTypeOf<ErrorOf<Vm['suspend']>>().toEqualTypeOf<awaitvm.SuspendErrors>()
    expectTypeOf<ErrorOf<Vm['reset']>>().toEqualTypeOf<awaitvm.ResetErrors>()
    expectTypeOf<ErrorOf<Vm['restart']>>().toEqualTypeOf<awaitvm.RestartErrors>()
    expectTypeOf<ErrorOf<Vm['edit']>>().toEqualTypeOf<awaitvm.EditErrors>()
    expectTypeOf<ErrorOf<Vm['clone']>>().toEqualTypeOf<awaitvm.CloneErrors>()
    expectTypeOf<ErrorOf<Vm['delete']>>().toEqualTypeOf<awaitvm.DeleteErrors>()
    expectTypeOf<ErrorOf<Vm['unregister']>>().toEqualTypeOf<awaitvm.UnregisterErrors>()
    expectTypeOf<ErrorOf<Vm['migrate']>>().toEqualTypeOf<awaitvm.MigrateErrors>()
    expectTypeOf<ErrorOf<Vm['createSnapshot']>>().toEqualTypeOf<awaitvm.CreateSnapshotErrors>()
    expectTypeOf<ErrorOf<Vm['getSnapshotTree']>>().toEqualTypeOf<awaitvm.GetSnapshotTreeErrors>()
    expectTypeOf<ErrorOf<Vm['switchToSnapshot']>>().toEqualTypeOf<awaitvm.SwitchToSnapshotErrors>()
    expectTypeOf<ErrorOf<Vm['deleteSnapshot']>>().toEqualTypeOf<awaitvm.DeleteSnapshotErrors>()
    expectTypeOf<ErrorOf<Vm['getStatistics']>>().toEqualTypeOf<awaitvm.GetStatisticsErrors>()
    expectTypeOf<ErrorOf<Vm['screenshot']>>().toEqualTypeOf<awaitvm.ScreenshotErrors>()
    expectTypeOf<ErrorOf<Vm['sendKeys']>>().toEqualTypeOf<awaitvm.SendKeysErrors>()
  })

  test('of a guest', () => {
    expectTypeOf<ErrorOf<VmGuest['exec']>>().toEqualTypeOf<awaitvm.ExecErrors>()
    expectTypeOf<ErrorOf<VmGuest['getNetworkAddresses']>>().toEqualTypeOf<awaitvm.GetNetworkAddressesErrors>()
    expectTypeOf<ErrorOf<VmGuest['readFile']>>().toEqualTypeOf<awaitvm.ReadFileErrors>()
    expectTypeOf<ErrorOf<VmGuest['writeFile']>>().toEqualTypeOf<awaitvm.WriteFileErrors>()
    expectTypeOf<ErrorOf<VmGuest['readdir']>>().toEqualTypeOf<awaitvm.ReaddirErrors>()
    expectTypeOf<ErrorOf<VmGuest['stat']>>().toEqualTypeOf<awaitvm.StatErrors>()
    expectTypeOf<ErrorOf<VmGuest['lstat']>>().toEqualTypeOf<awaitvm.StatErrors>()
    expectTypeOf<ErrorOf<VmGuest['exists']>>().toEqualTypeOf<awaitvm.StatErrors>()
    expectTypeOf<ErrorOf<VmGuest['mkdir']>>().toEqualTypeOf<awaitvm.MkdirErrors>()
    expectTypeOf<ErrorOf<VmGuest['rm']>>().toEqualTypeOf<awaitvm.RmErrors>()
    expectTypeOf<ErrorOf<VmGuest['rename']>>().toEqualTypeOf<awaitvm.RenameErrors>()
    expectTypeOf<ErrorOf<VmGuest['getInfo']>>().toEqualTypeOf<awaitvm.GetGuestInfoErrors>()
    expectTypeOf<ErrorOf<VmGuest['waitUntilReady']>>().toEqualTypeOf<awaitvm.WaitUntilReadyErrors>()
    expectTypeOf<ErrorOf<VmGuest['waitForPort']>>().toEqualTypeOf<awaitvm.WaitForPortErrors>()
    expectTypeOf<ErrorOf<ExecJob['kill']>>().toEqualTypeOf<awaitvm.KillErrors>()
    expectTypeOf<ErrorOf<ExecJob['resize']>>().toEqualTypeOf<awaitvm.ResizeErrors>()
    expectTypeOf<ErrorOf<VmGuest['copyIn']>>().toEqualTypeOf<awaitvm.CopyInErrors>()
    expectTypeOf<ErrorOf<VmGuest['copyOut']>>().toEqualTypeOf<awaitvm.CopyOutErrors>()
  })

  test('of cancel', () => {
    expectTypeOf<ErrorOf<awaitvm.JobRef<unknown>['cancel']>>().toEqualTypeOf<awaitvm.CancelErrors>()
  })
})

test('every error of the table is of its code, and is a VmError', () => {
  expectTypeOf<{ [C in VmErrorCode]: VmErrors[C]['code'] }>().toEqualTypeOf<{ [C in VmErrorCode]: C }>()
  expectTypeOf<VmErrors[VmErrorCode]>().toExtend<VmError>()
  expectTypeOf<OperationErrors<OperationCode>>().toExtend<VmErrors[VmErrorCode]>()
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
        expectTypeOf(one).toEqualTypeOf<StartErrors>()
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
