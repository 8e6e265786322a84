import * as v from 'valibot'
import { InvalidArgumentError } from './errors.js'
import { validate } from './errors/validate.js'
import { jsonObjectSchema, type JsonObject } from './model/json.js'
import { optional, text } from './model/schema.js'
import { err, ok, type Result } from './result.js'

/** A command as a driver is given it. */
export interface QmpCommand {
  readonly command: string
  readonly arguments: JsonObject
}

/** QEMU takes some 3.4 µs to read each character, and its guest waits for a part of that. */
const maxArgumentsLength = 256 * 1024

/** The names of QAPI: those of QEMU, of experiments (`x-`), and of vendors (`__com.example_`): qemu/docs/devel/qapi-code-gen. */
const nameSchema = v.pipe(
  text,
  v.maxLength(128, 'must have at most 128 characters'),
  v.regex(/^(?:__[a-z0-9.-]+_)?[a-z][a-z0-9_-]*$/i, 'must be the name of a QMP command, such as "query-status"'),
)

const saved = 'Use vm.suspend(), snapshots, vm.clone({ memory: true }) or vm.migrate().'
const ownProcess = 'awaitvm starts and ends QEMU itself.'
const ownMonitors = 'awaitvm has opened the monitor already.'
const descriptors = 'QEMU can take no file descriptor by this way: name a file.'

/** The commands that would change what awaitvm knows of its QEMU, each with what to call instead. */
const owned: readonly (readonly [names: RegExp, instead: string])[] = [
  [/^quit$/, "Use vm.stop({ mode: 'kill' })."],
  [/^stop$/, 'Use vm.pause().'],
  [/^cont$/, 'Use vm.resume().'],
  [/^system_reset$/, 'Use vm.reset().'],
  [/^system_powerdown$/, 'Use vm.stop().'],
  [/^balloon$/, 'Use vm.edit({ memoryMiB }).'],
  [/^(?:set-action|set-numa-node|x-exit-preconfig)$/, ownProcess],
  [/^qmp_capabilities$/, ownMonitors],
  [/^(?:getfd|closefd|add-fd|remove-fd|add_client)$/, descriptors],
  [/^(?:migrate|client_migrate_info|snapshot-|blockdev-snapshot|xen-|x-colo-|replay-)/, saved],
]

const onlyInfo = "Give { 'command-line': 'info …' }, or the QMP command for what you want."

/** Only `info` of QEMU's other language changes nothing. */
const isOtherLanguage = ({ command, arguments: { 'command-line': line } }: QmpCommand): boolean =>
  command === 'human-monitor-command' && !(typeof line === 'string' && /^\s*info(?:\s|$)/.test(line))

/** Reads the arguments of `vm.native.qmp`, and refuses commands that awaitvm carries out itself. */
export const readQmpCommand = (name: unknown, args: unknown): Result<QmpCommand, InvalidArgumentError> =>
  validate(nameSchema, name, 'command').andThen((command) =>
    validate(optional(jsonObjectSchema(maxArgumentsLength)), args, 'arguments')
      .map((given): QmpCommand => ({ command, arguments: given ?? {} }))
      .andThen(refuseOwned),
  )

function refuseOwned(given: QmpCommand): Result<QmpCommand, InvalidArgumentError> {
  const { command } = given
  const [, instead] = owned.find(([names]) => names.test(command)) ?? []
  if (instead !== undefined)
    return refusal(`command is ${JSON.stringify(command)}, which awaitvm keeps to itself`, instead)
  if (!isOtherLanguage(given)) return ok(given)
  return refusal(`command is ${JSON.stringify(command)}, which could do anything`, onlyInfo)
}

const refusal = (reason: string, hint: string): Result<never, InvalidArgumentError> =>
  err(new InvalidArgumentError({ path: 'command', reason, hint }))
