import type { DriverInputs } from '../../driver/driver.js'
import { InvalidArgumentError, OutcomeUnknownError, ProtocolError } from '../../errors.js'
import { commandNotFound } from '../../errors/lookup.js'
import { isJson, type JsonValue } from '../../model/json.js'
import { invalidState } from '../../errors/state.js'
import type { HeldVm } from './held-vm.js'
import { nativeError } from './qemu-errors.js'
import { isOwnName } from './hardware/own-names.js'
import type { QmpClient } from './protocol/qmp-client.js'
import { QmpCommandError, QmpTimeoutError } from './protocol/qmp-errors.js'

type RawCommand = Pick<DriverInputs['native.qmp'], 'command' | 'arguments'>

/** A guest with much memory takes its time to be written to a file. The job has a limit of its own. */
const commandTimeoutMs = 60 * 60 * 1000

/** Commands that only ask. Of QEMU's other language, only `info` comes as far as this. */
const asking = /^(?:x-)?query-|^(?:x-debug-query-|qom-get$|qom-list|device-list-)|-get-state$|^human-monitor-command$/

/** True for a command that changes nothing. */
export const isQuestion = ({ command }: RawCommand): boolean => asking.test(command)

/** Commands that add, change or remove what they name. */
const changing =
  /^(?:x-)?(?:block|drive-|change-backing-file|device_|netdev_|chardev-(?:add|remove|change)|object-|nbd-server-add|job-|eject$|transaction$|yank$)/
/** Those of them that leave it as it is, but for its limits. */
const tuning = /^(?:block_set_io_throttle|block-latency-histogram-set|block-set-write-threshold)$/

/** The arguments that name a device, a node, a job or another part of QEMU, in QAPI. */
const namingKeys: ReadonlySet<string> = new Set([
  ...['id', 'device', 'node-name', 'node', 'name', 'job-id', 'drive', 'chardev', 'netdev', 'export'],
  ...['file', 'backing', 'data-file', 'image', 'source', 'target', 'base-node', 'top-node', 'bottom', 'overlay'],
  ...[
    'base',
    'top',
    'replaces',
    'parent',
    'child',
    'image-node-name',
    'vmstate',
    'devices',
    'nodes',
    'children',
    'bitmaps',
  ],
])

/** Throws if a command would change a part of QEMU that is awaitvm's. */
export function requireOthersNames({ command, arguments: args }: RawCommand): void {
  if (!changing.test(command) || tuning.test(command)) return
  const found = ownNameIn(args, 'arguments', false)
  if (found === undefined) return
  throw new InvalidArgumentError({
    path: found.path,
    reason: `${found.path} is ${JSON.stringify(found.name)}, which is one of awaitvm's own names`,
    hint: 'Change disks, drives and adapters with vm.edit(), and copy disks with vm.exportDisk(). Use other names for what is yours.',
  })
}

interface Named {
  readonly path: string
  readonly name: string
}

/** Files have absolute paths, too, but none in QEMU's tree of objects. */
const isFile = (name: string): boolean => name.startsWith('/') && !/^\/(?:machine|objects|chardevs)\//.test(name)

const hasOwnName = (name: string): boolean => !isFile(name) && name.split('/').some(isOwnName)

/** The first own name in arguments, which may be the last part of a path in QEMU's tree of objects. */
function ownNameIn(value: JsonValue | undefined, path: string, isName: boolean): Named | undefined {
  if (typeof value === 'string') return isName && hasOwnName(value) ? { path, name: value } : undefined
  if (typeof value !== 'object' || value === null) return undefined
  for (const [key, part] of Object.entries<JsonValue | undefined>(value)) {
    const isIndex = Array.isArray(value)
    const found = ownNameIn(
      part,
      isIndex ? `${path}[${key}]` : `${path}.${key}`,
      isIndex ? isName : namingKeys.has(key),
    )
    if (found !== undefined) return found
  }
  return undefined
}

/** Sends a command of a user's, and answers what QEMU answers. Aborting the signal gives the answer up. */
export async function sendRaw(client: QmpClient, given: RawCommand, signal: AbortSignal): Promise<JsonValue> {
  const { command, arguments: args } = given
  try {
    const answer = await client.execute(command, args, { timeoutMs: commandTimeoutMs, signal })
    if (isJson(answer)) return answer
    throw new ProtocolError({ reason: `the answer to ${command} is nested too deeply` })
  } catch (error) {
    if (error instanceof QmpCommandError && error.errorClass === 'CommandNotFound') {
      throw commandNotFound(command, nativeError(error))
    }
    if (!(error instanceof QmpTimeoutError) || isQuestion(given)) throw error
    const hint = 'QEMU may still carry it out.'
    throw new OutcomeUnknownError({ reason: error.message, hint, native: nativeError(error), cause: error })
  }
}

/** Sends a command to a VM that is held. Only the end of its QEMU or of the connection gives the answer up. */
export async function sendHeld(held: HeldVm, given: RawCommand): Promise<JsonValue> {
  if (held.run === undefined) throw invalidState(held.state, ['running', 'paused'])
  held.commit()
  return await held.withMonitor((client) => sendRaw(client, given, held.signal))
}
