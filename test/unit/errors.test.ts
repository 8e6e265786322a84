import * as awaitvm from 'awaitvm'
import {
  HostError,
  InvalidArgumentError,
  InvalidStateError,
  NotSupportedError,
  operations,
  ResourceBusyError,
  VmError,
} from 'awaitvm'
import { createJob } from 'awaitvm/testing'
import { describe, expect, test } from 'vitest'

type ErrorClass = new (options: object) => VmError

const options = {
  reason: 'it is so',
  path: 'spec.name',
  state: 'running',
  expected: ['stopped'],
  capability: 'vm.pause',
  native: { driver: 'fake', code: 5, message: 'of the host' },
}
const classes = Object.entries(awaitvm).filter(
  (entry): entry is [string, never] => typeof entry[1] === 'function' && entry[1].prototype instanceof VmError,
) as [string, ErrorClass][]

test('there is a class for each code, and each code is of one class', () => {
  const codes = classes.map(([, Class]) => new Class(options).code)
  expect(new Set(codes).size).toBe(classes.length)
  expect(codes.sort()).toMatchInlineSnapshot(`
    [
      "ALREADY_EXISTS",
      "AUTHENTICATION_FAILED",
      "CONNECTION_FAILED",
      "FIRMWARE_NOT_FOUND",
      "GUEST_FILE_ERROR",
      "GUEST_UNAVAILABLE",
      "HOST_ERROR",
      "HOST_TOOL_NOT_FOUND",
      "INSUFFICIENT_RESOURCES",
      "INVALID_ARGUMENT",
      "INVALID_STATE",
      "JOB_CANCELLED",
      "JOB_FINISHED",
      "JOB_NOT_CANCELABLE",
      "NOT_SUPPORTED",
      "OUTCOME_UNKNOWN",
      "PERMISSION_DENIED",
      "PROGRAM_FAILED",
      "PROTOCOL_ERROR",
      "RESOURCE_BUSY",
      "SNAPSHOT_NOT_FOUND",
      "TIMEOUT",
      "VM_NOT_FOUND",
      "WAIT_ABORTED",
      "WAIT_TIMEOUT",
    ]
  `)
})

describe.each(classes)('%s', (name, Class) => {
  test('has its name, its stack and what it was made with', () => {
    const cause = new Error('below')
    const error = new Class({ ...options, hint: 'Do this.', cause })
    expect(error).toBeInstanceOf(VmError)
    expect(error).toMatchObject({
      name,
      reason: 'it is so',
      hint: 'Do this.',
      message: 'it is so. Do this.',
      native: options.native,
    })
    expect(error.cause).toBe(cause)
    expect(error.stack).toMatch(new RegExp(`^${name}: it is so. Do this.\n`))
    expect(error.retryable).toBe(name === 'ResourceBusyError' || name === 'ConnectionError')
    expect(new Class({ ...options, retryable: true }).retryable).toBe(true)
    expect('cause' in new Class(options)).toBe(false)
  })

  test('is a copy that says the same of another operation', () => {
    const error = new Class({ ...options, cause: 5 })
    VmError.locate(error, 'vm.start', undefined)
    const copy = VmError.copy(error)
    expect(copy).toBeInstanceOf(Class)
    expect(Object.entries(copy)).toEqual(Object.entries(error))
    expect([copy.operation, copy.cause, copy.message]).toEqual([undefined, 5, 'it is so.'])
  })
})

describe('a job that fails', () => {
  const failed = (error: VmError, operation: awaitvm.OperationCode, target?: awaitvm.JobTarget): VmError => {
    const { job, fail } = createJob({ operation, target })
    fail(error)
    return job.result!._unsafeUnwrapErr()
  }
  const vm = { type: 'vm', id: '1', name: 'web-1' } as const

  test('says what failed, on what, why, and what to do', () => {
    const error = failed(
      new InvalidStateError({
        reason: 'it is suspended',
        hint: "Resume it with vm.resume(), or drop its saved state with vm.stop({ mode: 'kill' }).",
        state: 'suspended',
        expected: ['stopped', 'crashed'],
      }),
      'vm.start',
      vm,
    )
    expect(error.message).toMatchInlineSnapshot(
      `"Cannot start VM "web-1": it is suspended. Resume it with vm.resume(), or drop its saved state with vm.stop({ mode: 'kill' })."`,
    )
    expect(error).toMatchObject({
      operation: 'vm.start',
      target: vm,
      state: 'suspended',
      expected: ['stopped', 'crashed'],
    })
    expect(error.stack?.startsWith(`InvalidStateError: ${error.message}\n    at `)).toBe(true)
  })

  test('says so for every operation', () => {
    const host = { type: 'host', id: 'embedded:', name: 'embedded:' } as const
    const messages = Object.keys(operations).map((operation) => {
      const target = /^(?:server|images)\.|^connect$/.test(operation) ? host : vm
      return failed(new NotSupportedError({ reason: 'no', capability: operation }), operation as never, target).message
    })
    expect(messages).toMatchInlineSnapshot(`
      [
        "Cannot connect to host "embedded:": no.",
        "Cannot get information about host "embedded:": no.",
        "Cannot list the VMs of host "embedded:": no.",
        "Cannot find the VM on host "embedded:": no.",
        "Cannot create the VM on host "embedded:": no.",
        "Cannot register the VM on host "embedded:": no.",
        "Cannot list the jobs of host "embedded:": no.",
        "Cannot attach to a job of host "embedded:": no.",
        "Cannot list the images of host "embedded:": no.",
        "Cannot fetch an image for host "embedded:": no.",
        "Cannot remove an image of host "embedded:": no.",
        "Cannot close host "embedded:": no.",
        "Cannot get the state of VM "web-1": no.",
        "Cannot refresh VM "web-1": no.",
        "Cannot wait for a state of VM "web-1": no.",
        "Cannot start VM "web-1": no.",
        "Cannot stop VM "web-1": no.",
        "Cannot pause VM "web-1": no.",
        "Cannot resume VM "web-1": no.",
        "Cannot suspend VM "web-1": no.",
        "Cannot reset VM "web-1": no.",
        "Cannot restart VM "web-1": no.",
        "Cannot edit VM "web-1": no.",
        "Cannot clone VM "web-1": no.",
        "Cannot export a disk of VM "web-1": no.",
        "Cannot delete VM "web-1": no.",
        "Cannot unregister VM "web-1": no.",
        "Cannot migrate VM "web-1": no.",
        "Cannot create a snapshot of VM "web-1": no.",
        "Cannot list the snapshots of VM "web-1": no.",
        "Cannot switch the snapshot of VM "web-1": no.",
        "Cannot delete a snapshot of VM "web-1": no.",
        "Cannot get statistics of VM "web-1": no.",
        "Cannot take a screenshot of VM "web-1": no.",
        "Cannot send keys to VM "web-1": no.",
        "Cannot open the console of VM "web-1": no.",
        "Cannot run a program in VM "web-1": no.",
        "Cannot read a file of VM "web-1": no.",
        "Cannot write a file of VM "web-1": no.",
        "Cannot list a folder of VM "web-1": no.",
        "Cannot look at a file of VM "web-1": no.",
        "Cannot make a folder in VM "web-1": no.",
        "Cannot remove a file of VM "web-1": no.",
        "Cannot rename a file of VM "web-1": no.",
        "Cannot copy files into VM "web-1": no.",
        "Cannot copy files out of VM "web-1": no.",
        "Cannot get information about the guest of VM "web-1": no.",
        "Cannot wait for the guest of VM "web-1": no.",
        "Cannot wait for a port of VM "web-1": no.",
        "Cannot get the network addresses of VM "web-1": no.",
        "Cannot send a QMP command to VM "web-1": no.",
        "Cannot wait for the console of VM "web-1": no.",
        "Cannot cancel a job on VM "web-1": no.",
        "Cannot send a signal to a program in VM "web-1": no.",
        "Cannot resize the terminal of a program in VM "web-1": no.",
        "Cannot finish all jobs VM "web-1": no.",
        "Cannot finish any job VM "web-1": no.",
        "Cannot finish the first job VM "web-1": no.",
        "Cannot wait for all jobs VM "web-1": no.",
        "Cannot run the batch VM "web-1": no.",
      ]
    `)
  })

  test('says so if there is no target', () => {
    const error = failed(new ResourceBusyError({ reason: 'it is locked', pid: 7 }), 'job.cancel')
    expect(error).toMatchObject({ message: 'Cannot cancel a job: it is locked.', pid: 7 })
  })

  test('quotes a name so that it can not be taken for anything else', () => {
    const error = failed(new ResourceBusyError({ reason: 'no' }), 'vm.start', { ...vm, name: 'a"\n$&' })
    expect(error.message).toBe('Cannot start VM "a\\"\\n$&": no.')
  })

  test('leaves an error alone that tells of another operation', () => {
    const error = new ResourceBusyError({ reason: 'no' })
    failed(error, 'vm.start', vm)
    failed(error, 'vm.pause')
    expect(error.message).toBe('Cannot start VM "web-1": no.')
    expect(error.operation).toBe('vm.start')
  })

  test('does not put a full stop after a sentence of the host', () => {
    const native = { driver: 'fake', message: 'x' }
    const messages = ['it failed.', 'what?', 'no!', 'no'].map(
      (reason) => new HostError({ reason, native, hint: 'Ask.' }).message,
    )
    expect(messages).toEqual(['it failed. Ask.', 'what? Ask.', 'no! Ask.', 'no. Ask.'])
  })

  test('bears that the program has a format of stacks of its own', () => {
    const { prepareStackTrace } = Error
    Error.prepareStackTrace = () => []
    try {
      expect(failed(new ResourceBusyError({ reason: 'no' }), 'vm.start', vm).message).toBe(
        'Cannot start VM "web-1": no.',
      )
    } finally {
      Error.prepareStackTrace = prepareStackTrace
    }
  })

  test('is JSON with all that there is to know', () => {
    const cause = Object.assign(new Error('below'), { password: 'hunter2' })
    const error = failed(new InvalidArgumentError({ reason: 'it is wrong', path: 'spec.name', cause }), 'vm.edit', vm)
    const json: unknown = JSON.parse(JSON.stringify(error))
    expect(json).toEqual({
      name: 'InvalidArgumentError',
      code: 'INVALID_ARGUMENT',
      message: 'Cannot edit VM "web-1": it is wrong.',
      reason: 'it is wrong',
      path: 'spec.name',
      operation: 'vm.edit',
      target: vm,
      retryable: false,
      cause: { name: 'Error', message: 'below' },
    })
    expect(JSON.stringify(new ResourceBusyError({ reason: 'x', cause: 5 }))).not.toContain('cause')
  })
})
