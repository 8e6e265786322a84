/** The meaning of an error of the Parallels SDK. */
export type SdkErrorKind =
  | 'vm-not-found'
  | 'snapshot-not-found'
  | 'file-not-found'
  | 'exists'
  | 'state'
  | 'busy'
  | 'resources'
  | 'not-supported'
  | 'template'
  | 'denied'
  | 'credentials'
  | 'connection'
  | 'connection-lost'
  | 'cancelled'
  | 'guest-unavailable'
  | 'argument'
  /** It took too long, and the outcome is unknown. */
  | 'overdue'
  | 'other'

/** An error code of the Parallels SDK. */
export interface SdkError {
  /** Without the prefix `PRL_ERR_`. */
  readonly name: string
  /** Absent if the table does not have the name. */
  readonly number?: number | undefined
  readonly kind: SdkErrorKind
  /** Parts of its text, in lower case, that are the same in all versions. prlctl prints the name of an error without a text. */
  readonly fragments: readonly string[]
}

type Row = readonly [name: string, number: number, kind: SdkErrorKind, ...fragments: string[]]

/** If a fragment is part of another one, the longer one comes first. The numbers are from the SDK's header. */
const rows: readonly Row[] = [
  ['VM_UUID_NOT_FOUND', 0x80000105, 'vm-not-found', 'the virtual machine could not be found'],
  ['VM_SNAPSHOT_NOT_FOUND', 0x80000472, 'snapshot-not-found', 'unable to find the snapshot id'],
  ['ENTRY_DOES_NOT_EXIST', 0x80000079, 'file-not-found', 'could not be found. make sure that this file'],
  ['FILE_NOT_FOUND', 0x80000010, 'file-not-found', 'file not found'],
  ['VM_EXEC_PROGRAM_NOT_FOUND', 0x80034003, 'argument', 'program you requested'],
  ['VM_ALREADY_REGISTERED_VM_UUID', 0x80000062, 'exists', 'id conflict'],
  ['VM_ALREADY_REGISTERED_VM_NAME', 0x80000115, 'exists', 'is already used by another'],
  ['VM_ALREADY_REGISTERED_VM_PATH', 0x80000063, 'exists', 'already exists in'],
  ['VM_ALREADY_REGISTERED_UNIQUE_PARAMS', 0x80000114, 'exists', 'is already taken'],
  ['VM_ALREADY_REGISTERED', 0x80000447, 'exists', 'is already registered'],
  ['ENTRY_ALREADY_EXISTS', 0x80000080, 'exists', 'already exists. specify another name'],
  ['VM_NAME_IS_EMPTY', 0x80000116, 'argument', 'virtual machine name is not specified'],
  ['DISP_VM_COMMAND_CANT_BE_EXECUTED', 0x80000416, 'state', '" state'],
  ['DISP_VM_IS_NOT_STARTED', 0x80000377, 'state', 'is not started'],
  ['DISP_VM_IS_NOT_STOPPED', 0x80000557, 'state', 'is not stopped'],
  ['VM_ALREADY_RUNNING', 0x80000402, 'state', 'you or another user have already started'],
  ['VM_IS_NOT_SUSPENDED', 0x80000420, 'state', 'is not suspended'],
  ['VM_MUST_BE_STOPPED_BEFORE_RENAMING', 0x80000376, 'state', 'cannot rename'],
  ['VM_MUST_BE_STOPPED_FOR_CHANGE_DEVICES', 0x80000384, 'state', 'cannot be added or removed while'],
  ['VM_CANT_CLONE_RUNNING', 0x80000292, 'state', 'cannot clone'],
  ['VM_CANT_DELETE_RUNNING', 0x80000293, 'state', 'cannot delete'],
  ['VM_CANT_UNREG_RUNNING', 0x80000294, 'state', 'cannot unregister'],
  ['VM_ALREADY_SUSPENDED', 0x80000050, 'state'],
  ['VM_ALREADY_RESUMED', 0x80000052, 'state'],
  ['VM_PAUSE_FAILED', 0x80000051, 'state', 'unable to pause'],
  ['VM_IN_WAKING_UP_STATE', 0x80000553, 'busy', 'waking from sleep'],
  ['VM_IN_FROZEN_STATE', 0x80000554, 'busy', 'problem reading the virtual machine location'],
  ['VM_LOCKED_FOR_CLONE', 0x80038100, 'busy', 'is being cloned'],
  ['VM_LOCKED_FOR_DELETE_TO_SNAPSHOT', 0x80038112, 'busy', 'snapshot of this virtual machine is being deleted'],
  ['VM_LOCKED_FOR_DELETE', 0x80038101, 'busy', 'is being deleted'],
  ['VM_LOCKED_FOR_UNREGISTER', 0x80038102, 'busy', 'is being removed from the list'],
  ['VM_LOCKED_FOR_EDIT_COMMIT', 0x80038103, 'busy', 'virtual machine is being edited'],
  ['VM_LOCKED_FOR_EXECUTE', 0x80038104, 'busy', 'is currently running'],
  ['VM_LOCKED_FOR_EXECUTE_EX', 0x80038105, 'busy'],
  ['VM_LOCKED_FOR_INTERNAL_REASON', 0x80038106, 'busy', 'internal reason'],
  ['VM_LOCKED_FOR_EDIT_COMMIT_WITH_RENAME', 0x80038107, 'busy', 'is being renamed'],
  ['VM_LOCKED_FOR_UPDATE_SECURITY', 0x80038108, 'busy', 'security settings are being updated'],
  ['VM_LOCKED_FOR_MIGRATE', 0x80038109, 'busy', 'is being migrated'],
  ['VM_LOCKED_FOR_CREATE_SNAPSHOT', 0x80038110, 'busy', 'snapshot of this virtual machine is being created'],
  ['VM_LOCKED_FOR_SWITCH_TO_SNAPSHOT', 0x80038111, 'busy', 'is reverting'],
  ['VM_LOCKED_FOR_BACKUP', 0x80038113, 'busy', 'is being backed up'],
  ['VM_LOCKED_FOR_RESTORE_FROM_BACKUP', 0x80038114, 'busy', 'is being restored from backup'],
  ['VM_LOCKED_FOR_DISK_RESIZE', 0x80038116, 'busy', 'is being resized'],
  ['VM_LOCKED_FOR_DISK_COMPACT', 0x80038117, 'busy', 'is being compacted'],
  ['VM_LOCKED_FOR_DISK_CONVERT', 0x80038118, 'busy', 'hard disk is being converted'],
  ['VM_LOCKED_FOR_COPY_IMAGE', 0x80038123, 'busy', 'image file is being copied'],
  ['VM_LOCKED_FOR_MOVE', 0x80038124, 'busy'],
  ['CONCURRENT_COMMAND_EXECUTING', 0x80000242, 'busy', 'operations initialized by another user'],
  ['VM_CONFIG_WAS_CHANGED', 0x80000112, 'busy', 'user activity conflict'],
  ['CONFIG_EDIT_COLLISION', 0x80000323, 'busy', 'editing conflict occurred'],
  ['SDK_TRY_AGAIN', 0x80050000, 'busy'],
  ['SOME_VMS_RUNNING', 0x80000362, 'busy'],
  ['SOME_TASKS_PRESENT', 0x80000363, 'busy'],
  ['CANT_EDIT_SUSPENDED_VM', 0x80000104, 'state', 'is suspended'],
  ['OUT_OF_DISK_SPACE', 0x80000297, 'resources', 'out of disk space'],
  ['FREE_DISC_SPACE_FOR_CLONE', 0x80000371, 'resources', 'location for the virtual machine clone'],
  ['NOT_ENOUGH_DISK_FREE_SPACE', 0x80000307, 'resources', 'exceeds the free space available', 'not enough disk space'],
  ['OUT_OF_MEMORY', 0x80000002, 'resources', 'out of memory'],
  ['EXCEED_LIMIT_MAX_RUNNING_VMS', 0x80000388, 'resources', 'maximal number of virtual machines'],
  [
    'LICENSE_RESTRICTED_TO_RUNNING_VMS_LIMIT',
    0x80011042,
    'resources',
    'virtual machines running on this computer has reached its maximum',
  ],
  ['LICENSE_RESTRICTED_TO_CREATE_VM', 0x80011043, 'not-supported'],
  ['LICENSE_RESTRICTED_TO_CLONE_VM', 0x80011046, 'not-supported'],
  ['LICENSE_EXPIRED', 0x80011001, 'denied', 'activated for a limited period'],
  ['LICENSE_NOT_VALID', 0x80011000, 'denied', 'activation key is invalid'],
  ['ACCESS_TO_VM_DENIED', 0x80000239, 'denied', 'not have enough rights to use'],
  ['USER_OPERATION_NOT_AUTHORISED', 0x80000059, 'denied', 'do not have the permission to perform'],
  ['ACCESS_DENIED', 0x80000005, 'denied', 'you are not authorized to perform this operation'],
  ['USER_NO_AUTH_TO_EDIT_VM', 0x80000321, 'denied', 'do not have the permission to edit'],
  ['ACCESS_TOKEN_INVALID', 0x80000060, 'credentials'],
  ['AUTHENTICATION_FAILED', 0x80000330, 'credentials', 'incorrect user name or password'],
  ['LOCAL_AUTHENTICATION_FAILED', 0x80000331, 'credentials'],
  ['CANT_CONNECT_TO_DISPATCHER', 0x80000249, 'connection', 'unable to connect to'],
  ['ALREADY_CONNECTED_TO_DISPATCHER', 0x80000252, 'other'],
  ['WS_DISP_CONNECTION_CLOSED', 0x80000246, 'connection-lost', 'dispatcher service was lost'],
  ['NOT_CONNECTED_TO_DISPATCHER', 0x80000251, 'connection', 'connection to the server has been lost'],
  ['SERVER_GOES_DOWN', 0x80000248, 'connection'],
  ['DISP_SHUTDOWN_IN_PROCESS', 0x80000404, 'connection', 'is shutting down'],
  ['OPERATION_WAS_CANCELED', 0x80000275, 'cancelled', 'the operation has been canceled'],
  ['CLONE_OPERATION_CANCELED', 0x80000107, 'cancelled', 'cloning operation was canceled'],
  ['VM_EXEC_GUEST_TOOL_NOT_AVAILABLE', 0x80034001, 'guest-unavailable', 'unable to open new session'],
  ['GUEST_TOOLS_NOT_INSTALLED', 0x80000423, 'guest-unavailable', 'tools are not installed'],
  ['VM_GUEST_SESSION_EXPIRED', 0x80034002, 'guest-unavailable', 'session has expired'],
  ['GUEST_PROGRAM_EXECUTION_FAILED', 0x80034004, 'other', 'was completed with an error'],
  ['SUSPEND_REJECTED_BY_GUEST', 0x80000480, 'other', 'some operations have not been completed'],
  ['PLAYER_CANT_SUSPEND_IN_PAUSE', 0x80000481, 'state', 'is paused and cannot be suspended'],
  ['CANT_TO_START_VM_TEMPLATE', 0x80000368, 'template', 'cannot start virtual machine templates'],
  ['VM_REQUEST_NOT_SUPPORTED', 0x80000201, 'not-supported'],
  ['UNIMPLEMENTED', 0x80000008, 'not-supported', 'not implemented yet'],
  ['ACTION_NOT_SUPPORTED_FOR_CT', 0x80044003, 'not-supported', 'not supported for containers'],
  ['OBJECT_WAS_REMOVED', 0x80000406, 'vm-not-found', 'object has been removed'],
  ['TASK_NOT_FOUND', 0x80000092, 'other'],
  ['ATTACH_TO_TASK_BAD_SESSION', 0x80000349, 'other'],
  ['UNRECOGNIZED_REQUEST', 0x80000091, 'not-supported', 'unrecognized request'],
  ['VM_PROCESS_IS_NOT_STARTED', 0x80000068, 'other', 'cannot be started due to a critical error'],
  ['VM_START_FAILED', 0x80000041, 'other', 'error occurred while starting'],
  ['VM_POWER_ON_FAILED', 0x80000044, 'other', 'virtual machine cannot be started'],
  ['VM_POWER_OFF_FAILED', 0x80000045, 'other'],
  ['VM_RESET_FAILED', 0x80000046, 'other', 'unable to reset'],
  ['VM_RESTORE_STATE_FAILED', 0x80000054, 'other', 'unable to revert to this snapshot'],
  ['VM_OPERATION_FAILED', 0x80000069, 'other'],
  ['VM_ABORT', 0x80000325, 'other'],
  ['VM_SUSPEND_FAILED', 0x80020005, 'other', 'state cannot be saved'],
  ['VM_MIGRATE_UNSUITABLE_VM_STATE', 0x80031017, 'state', 'can be migrated in the hot'],
  ['VM_SHUTDOWN_FAILED', 0x80036020, 'other', 'unable to shut down'],
  ['IO_STOPPED', 0x80000301, 'other'],
  ['IO_NO_CONNECTION', 0x80000401, 'connection-lost'],
  ['IO_CONNECTION_TIMEOUT', 0x80000303, 'connection-lost'],
  ['IO_AUTHENTICATION_FAILED', 0x80000304, 'credentials'],
  ['API_INCOMPATIBLE', 0x80000422, 'other'],
  ['API_WASNT_INITIALIZED', 0x80000287, 'other'],
  ['INVALID_ARG', 0x80000003, 'argument', 'invalid argument'],
  ['INVALID_HANDLE', 0x80000004, 'other', 'invalid handle'],
  ['BUFFER_OVERRUN', 0x80000006, 'other', 'buffer overrun'],
  ['UNINITIALIZED', 0x80000007, 'other', 'uninitialized'],
  ['FAILURE', 0x80000009, 'other', 'operation failed. failed to execute'],
  ['OPERATION_FAILED', 0x80000016, 'other'],
  ['OPERATION_PENDING', 0x80000013, 'other'],
  ['NO_DATA', 0x80000014, 'other'],
  ['PARAM_NOT_FOUND', 0x80000017, 'argument'],
  ['INVALID_PARAM', 0x80000018, 'argument'],
  ['TIMEOUT', 0x80000015, 'overdue', 'operation timeout'],
  ['BAD_PARAMETERS', 0x80000083, 'argument'],
  ['UNEXPECTED', 0x80000001, 'other', 'unexpected error'],
]

export const sdkErrors: readonly SdkError[] = rows.map(([name, number, kind, ...fragments]) => ({
  name,
  number,
  kind,
  fragments,
}))

const byName = new Map(sdkErrors.map((error) => [error.name, error]))

/** Finds the SDK's error in the output of prlctl, by its symbol or a stable part of its text. */
export function sdkErrorIn(message: string): SdkError | undefined {
  // The name of a VM, which is usually in quotes, may contain any words.
  const bare = message.replace(/"[^"]*"/g, '""')
  const symbol = /\bPRL_ERR_([A-Z0-9_]+)/.exec(bare)?.[1]
  if (symbol !== undefined) return byName.get(symbol) ?? { name: symbol, kind: 'other', fragments: [] }
  return errorByText(bare.toLowerCase()) ?? errorByText(message.toLowerCase())
}

const errorByText = (text: string): SdkError | undefined =>
  sdkErrors.find(({ fragments }) => fragments.some((fragment) => text.includes(fragment)))

/** The `native.code` of an error: `PRL_ERR_VM_UUID_NOT_FOUND (0x80000105)`. */
export const sdkErrorCode = ({ name, number }: SdkError): string =>
  number === undefined ? `PRL_ERR_${name}` : `PRL_ERR_${name} (0x${number.toString(16)})`
