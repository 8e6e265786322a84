import type { VmErrorCode } from 'awaitvm'
import { expect, test } from 'vitest'
import { parallelsError } from '../../../src/drivers/parallels/parallels-errors.js'
import { failureOf } from '../../../src/drivers/parallels/parallels-failure.js'
import type { Outcome } from '../../../src/drivers/parallels/program-runner.js'
import { sdkErrorCode, sdkErrors } from '../../../src/drivers/parallels/sdk-errors.js'

const outcome = (changes: Partial<Outcome> & { readonly code?: number; readonly text?: string }): Outcome => {
  const { code = 255, text = '', ...others } = changes
  return {
    ending: { kind: 'exit', code },
    isOverdue: false,
    wasInterrupted: false,
    stdout: Buffer.alloc(0),
    stderr: Buffer.from(text),
    ...others,
  }
}

/** Error texts of Macs and Virtuozzo hosts, with their codes. */
const recorded: readonly [text: string, code: VmErrorCode, native: string][] = [
  [
    'Failed to get VM config: The virtual machine could not be found. The virtual machine is not registered in the virtual machine directory on your Mac.',
    'VM_NOT_FOUND',
    'PRL_ERR_VM_UUID_NOT_FOUND (0x80000105)',
  ],
  [
    'Failed to start the VM: The operation cannot be completed because the virtual machine "Windows 11 is in the "resuming" state.',
    'INVALID_STATE',
    'PRL_ERR_DISP_VM_COMMAND_CANT_BE_EXECUTED (0x80000416)',
  ],
  [
    'Failed to start the VM: Unable to perform the operation because "Windows 11" is in the "resuming" state.',
    'INVALID_STATE',
    'PRL_ERR_DISP_VM_COMMAND_CANT_BE_EXECUTED (0x80000416)',
  ],
  [
    '\nFailed to clone the VM: Unable to perform the action because the virtual machine is busy. The virtual machine is currently running.',
    'RESOURCE_BUSY',
    'PRL_ERR_VM_LOCKED_FOR_EXECUTE (0x80038104)',
  ],
  [
    'Failed to stop the VM: Operation canceled. The operation has been canceled.',
    'HOST_ERROR',
    'PRL_ERR_OPERATION_WAS_CANCELED (0x80000275)',
  ],
  [
    'Failed to start the VM: You cannot start virtual machine templates.',
    'NOT_SUPPORTED',
    'PRL_ERR_CANT_TO_START_VM_TEMPLATE (0x80000368)',
  ],
  ['Failed to capture the VM screen: PrlJob_Wait: PRL_ERR_IO_STOPPED', 'HOST_ERROR', 'PRL_ERR_IO_STOPPED (0x80000301)'],
  [
    'Failed to execute the program: Unable to open new session in this virtual machine.',
    'GUEST_UNAVAILABLE',
    'PRL_ERR_VM_EXEC_GUEST_TOOL_NOT_AVAILABLE (0x80034001)',
  ],
  [
    'Login failed: Incorrect user name or password.',
    'AUTHENTICATION_FAILED',
    'PRL_ERR_AUTHENTICATION_FAILED (0x80000330)',
  ],
  [
    'Failed to start the VM: Your copy of Parallels Desktop was activated for a limited period of time, which has expired.',
    'PERMISSION_DENIED',
    'PRL_ERR_LICENSE_EXPIRED (0x80011001)',
  ],
  [
    'Failed to create the snapshot: There is not enough disk space on the disk.',
    'INSUFFICIENT_RESOURCES',
    'PRL_ERR_NOT_ENOUGH_DISK_FREE_SPACE (0x80000307)',
  ],
  [
    'Failed to register the VM: The name "x" is already used by another virtual machine.',
    'ALREADY_EXISTS',
    'PRL_ERR_VM_ALREADY_REGISTERED_VM_NAME (0x80000115)',
  ],
  [
    'Failed to start the VM: The virtual machine cannot be started due to a critical error.',
    'HOST_ERROR',
    'PRL_ERR_VM_PROCESS_IS_NOT_STARTED (0x80000068)',
  ],
  [
    'Failed to create the snapshot: Unable to perform the action because the virtual machine is busy. A snapshot of this virtual machine is being deleted. Please try again later.',
    'RESOURCE_BUSY',
    'PRL_ERR_VM_LOCKED_FOR_DELETE_TO_SNAPSHOT (0x80038112)',
  ],
  [
    'Failed to suspend the VM: This virtual machine is paused and cannot be suspended.',
    'INVALID_STATE',
    'PRL_ERR_PLAYER_CANT_SUSPEND_IN_PAUSE (0x80000481)',
  ],
  [
    'Failed to clone the VM: Operation canceled. The cloning operation was canceled by the user.',
    'HOST_ERROR',
    'PRL_ERR_CLONE_OPERATION_CANCELED (0x80000107)',
  ],
  ['Failed to start the VM: PrlJob_Wait: PRL_ERR_OF_NO_TABLE', 'HOST_ERROR', 'PRL_ERR_OF_NO_TABLE'],
  [
    'Login failed: Unable to connect to Parallels Service. Make sure it is running.',
    'CONNECTION_FAILED',
    'PRL_ERR_CANT_CONNECT_TO_DISPATCHER (0x80000249)',
  ],
  [
    'Failed to stop the VM: Unable to perform the operation because the virtual machine is not started.',
    'INVALID_STATE',
    'PRL_ERR_DISP_VM_IS_NOT_STARTED (0x80000377)',
  ],
  [
    'PrlJob_GetRetCode: Invalid argument. An invalid argument was passed.',
    'HOST_ERROR',
    'PRL_ERR_INVALID_ARG (0x80000003)',
  ],
]

test.each(recorded)('%s', (text, code, native) => {
  const failure = failureOf(outcome({ text }), 'prlctl')
  const error = parallelsError(failure, {
    operation: 'vm.start',
    vm: 'some-id',
    state: 'resuming',
    expected: ['stopped'],
  })
  expect(error.code).toBe(code)
  expect(error.native).toMatchObject({ driver: 'parallels', code: native, message: text.trim() })
  expect(error.reason).not.toContain('Failed to')
})

test('each error of the SDK is known by each part of its text, and by its symbol', () => {
  const codeOf = (text: string) => failureOf(outcome({ text }), 'prlctl')?.native.code
  for (const error of sdkErrors) {
    const symbol = `Failed to do it: PrlJob_Wait: PRL_ERR_${error.name}`
    for (const text of [symbol, ...error.fragments.map((fragment) => `Failed to do it: It ${fragment}.`)]) {
      expect(codeOf(text), text).toBe(sdkErrorCode(error))
    }
  }
  expect(new Set(sdkErrors.map(({ name }) => name)).size).toBe(sdkErrors.length)
  expect(new Set(sdkErrors.map(({ number }) => number)).size).toBe(sdkErrors.length)
})

test.each([
  'The virtual machine could not be found',
  'PRL_ERR_VM_UUID_NOT_FOUND',
  'The operation has been canceled',
  'it is not started',
])('a VM that is named "%s" does not change what an error means', (name) => {
  const text = `Failed to configure the VM: The name "${name}" is already used by another virtual machine.`
  expect(failureOf(outcome({ text }), 'prlctl')?.kind).toBe('exists')
  const state = `Failed to start the VM: Unable to perform the operation because "${name}" is in the "resuming" state.`
  expect(failureOf(outcome({ text: state }), 'prlctl')?.kind).toBe('state')
})

test('the exit code 0 is a success with any output but an error text', () => {
  expect(failureOf(outcome({ code: 0, text: 'WARNING: prlctl is deprecated' }), 'prlctl')).toBeUndefined()
  const stopped = 'Failed to stop the VM: Unable to perform the operation because the virtual machine is not started.'
  expect(failureOf(outcome({ code: 0, text: stopped }), 'prlctl')?.kind).toBe('state')
})

test('a service that is down, a wrong edition, data synchronization, and unknown errors', () => {
  const kindOf = (changes: Parameters<typeof outcome>[0]) => failureOf(outcome(changes), 'prlctl')?.kind
  expect(kindOf({ code: 253 })).toBe('connection')
  expect(kindOf({ code: 253, text: 'Login failed: Unable to connect to Parallels Service.' })).toBe('connection')
  const sentence = 'This feature is not available in this edition of Parallels Desktop.'
  expect(kindOf({ stdout: Buffer.from(sentence) })).toBe('edition')
  expect(kindOf({ text: 'The operation cannot be performed. Data synchronization is currently in progress.' })).toBe(
    'synchronizing',
  )
  const packed =
    'Failed to start the VM: The virtual machine is in the intermediate state. Unpacking has been started but not finished yet.'
  expect(kindOf({ text: packed })).toBe('busy')
  expect(kindOf({ text: 'Unrecognized option: --linked\n', code: 1 })).toBe('not-supported')
  expect(kindOf({ text: 'Failed to stop the VM: Operation timeout.' })).toBe('overdue')
  expect(kindOf({ text: 'Something else altogether' })).toBe('other')
  // The outcome is unknown.
  expect(kindOf({})).toBe('lost')
  expect(kindOf({ stdout: Buffer.from('Starting the VM...') })).toBe('lost')
})

test('"Operation canceled" is a cancellation after an interrupt, a timeout after the time limit, and else a failure', () => {
  const text = 'Failed to clone the VM: Operation canceled. The operation has been canceled.'
  const errorOf = (changes: Partial<Outcome>) =>
    parallelsError(failureOf(outcome({ text, ...changes }), 'prlctl'), { operation: 'vm.clone', vm: 'some-id' })
  expect(errorOf({ wasInterrupted: true }).code).toBe('JOB_CANCELLED')
  expect(errorOf({ isOverdue: true })).toMatchObject({
    code: 'TIMEOUT',
    reason: 'it did not end in time, and was cancelled',
    native: { message: text },
  })
  expect(errorOf({})).toMatchObject({
    code: 'HOST_ERROR',
    reason: expect.stringContaining('without being asked: Operation canceled.') as string,
    native: { message: text },
  })
})

test.each([
  ['vm.clone', 'clone', 'clone-vm'],
  ['vm.delete', 'remove', 'remove-vm'],
  ['vm.unregister', 'unregister', 'remove-vm'],
  ['server.createVm', 'create', 'create-vm'],
  ['server.registerVm', 'register', 'add-vm'],
] as const)('a host that asks for a password before %s says how that is switched off', (operation, verb, action) => {
  const text = `Failed to ${verb} the VM: The operation failed. To perform this operation, you must enter the host OS administrator's credentials.`
  expect(parallelsError(failureOf(outcome({ text }), 'prlctl'), { operation })).toMatchObject({
    code: 'PERMISSION_DENIED',
    hint: `Turn the password prompt off: run "prlsrvctl set --require-pwd ${action}:off" on the host.`,
    native: { message: text },
  })
})

test('an end without a message is not taken for a failure', () => {
  const kindOf = (changes: Partial<Outcome>) => failureOf(outcome(changes), 'prlctl')?.kind
  const killed = { kind: 'signal', signal: 'SIGKILL' } as const
  expect(kindOf({ ending: killed, isOverdue: true })).toBe('overdue')
  expect(kindOf({ ending: killed })).toBe('lost')
  expect(kindOf({ ending: { kind: 'lost', reason: 'Connection reset' } })).toBe('lost')
  // It was interrupted before it sent anything.
  expect(kindOf({ ending: { kind: 'signal', signal: 'SIGINT' }, wasInterrupted: true })).toBe('cancelled')
  const missing = Object.assign(new Error('spawn prlctl ENOENT'), { code: 'ENOENT' })
  expect(kindOf({ ending: { kind: 'not-begun', error: missing } })).toBe('tool-missing')
  for (const code of ['EAGAIN', 'EMFILE', 'ENOMEM']) {
    const error = Object.assign(new Error(`spawn ${code}`), { code })
    expect(kindOf({ ending: { kind: 'not-begun', error } })).toBe('resources')
  }
  const asked = { operation: 'vm.getState', vm: 'some-id' } as const
  const changed = { operation: 'vm.start', vm: 'some-id' } as const
  const failure = failureOf(outcome({ ending: killed }), 'prlctl')
  expect([parallelsError(failure, asked).code, parallelsError(failure, changed).code]).toEqual([
    'CONNECTION_FAILED',
    'OUTCOME_UNKNOWN',
  ])
})
