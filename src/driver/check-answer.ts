import * as v from 'valibot'
import { ProtocolError } from '../errors.js'
import { validate } from '../errors/validate.js'
import type { CachedImage } from '../model/cached-image.js'
import { nonEmpty, optional, text } from '../model/schema.js'
import { isJson } from '../model/json.js'
import { guestFileTypes } from '../model/guest-file.js'
import { signalNames } from '../model/signal.js'
import type { Snapshot } from '../model/snapshot.js'
import type { VmEvent } from '../model/vm-event.js'
import { vmStates } from '../model/vm-state.js'
import { operationCodes, operations, type AnswerKind, type DriverOperation } from '../operations.js'

const number = v.number('must be a number')
const date = v.date('must be a Date')
const bytes = v.instance(Uint8Array, 'must be a Uint8Array')
const list = <S extends v.GenericSchema>(schema: S): v.ArraySchema<S, string> => v.array(schema, 'must be an array')
const shape = <E extends v.ObjectEntries>(entries: E): v.LooseObjectSchema<E, v.ErrorMessage<v.LooseObjectIssue>> =>
  v.looseObject(entries, ({ input }) => (input === undefined ? 'is missing' : 'must be an object'))
const hasMethods = (...names: readonly string[]): v.GenericSchema =>
  v.custom(
    (value) =>
      typeof value === 'object' &&
      value !== null &&
      names.every((name) => name in value && typeof value[name as keyof typeof value] === 'function'),
    'must be a Duplex stream',
  )

const state = v.picklist(vmStates, 'must be a state of a VM')
const vm = shape({
  id: nonEmpty,
  state,
  config: shape({
    name: nonEmpty,
    description: text,
    cpus: number,
    memoryMiB: number,
    disks: list(shape({ id: nonEmpty })),
    cdroms: list(shape({ image: optional(text) })),
    floppies: list(shape({ image: optional(text) })),
    boot: shape({}),
    createdAt: optional(date),
  }),
})
const cachedImage = shape({
  id: nonEmpty,
  path: nonEmpty,
  source: text,
  sizeBytes: number,
  isComplete: v.boolean('must be true or false'),
  usedBy: list(text),
} satisfies Record<keyof CachedImage, unknown>)
const fileType = v.picklist(guestFileTypes, 'must be the type of a file')
const snapshotEntries = {
  id: nonEmpty,
  name: text,
  description: text,
  createdAt: date,
  parentId: optional(text),
  state,
  isCurrent: v.boolean('must be true or false'),
} as const satisfies Record<keyof Snapshot, unknown>
const snapshotNode: v.GenericSchema = v.lazy(() => shape({ ...snapshotEntries, children: list(snapshotNode) }))

/** What an answer must have for awaitvm and its users to rely on; what else it has is the driver's own. */
const answers = {
  hostInfo: shape({ driver: text, hostName: text, hypervisor: text, version: text, guestArchitecture: text }),
  vm,
  vms: list(vm),
  jobs: list(
    shape({
      token: nonEmpty,
      operation: v.picklist(operationCodes, 'must be an operation'),
      vm: optional(shape({ id: nonEmpty, name: text })),
      progress: shape({}),
    }),
  ),
  outcome: v.unknown(),
  state,
  snapshot: shape(snapshotEntries),
  snapshots: list(snapshotNode),
  statistics: shape({ takenAt: date, uptimeMs: number, memoryMiB: number }),
  image: bytes,
  cachedImage,
  cachedImages: list(cachedImage),
  console: hasMethods('pipe', 'write', 'destroy'),
  program: v.pipe(
    shape({
      exitCode: optional(number),
      durationMs: optional(number),
      signal: optional(v.picklist(signalNames, 'must be the name of a signal')),
    }),
    v.check(
      ({ exitCode, signal }) => (exitCode === undefined) !== (signal === undefined),
      'must have exitCode or signal',
    ),
  ),
  addresses: list(shape({ address: text, family: v.picklist(['ipv4', 'ipv6'], 'must be "ipv4" or "ipv6"') })),
  entries: list(shape({ name: nonEmpty, type: fileType })),
  stats: optional(
    shape({
      type: fileType,
      size: number,
      mode: number,
      uid: number,
      gid: number,
      mtime: date,
      atime: date,
      ctime: date,
      target: optional(text),
    }),
  ),
  guestInfo: shape({ system: text, hostName: text, users: list(text), time: date }),
  json: v.custom(isJson, 'must be plain data, as JSON has it'),
  nothing: v.unknown(),
} as const satisfies Record<AnswerKind, v.GenericSchema>

const event = v.variant(
  'type',
  [
    shape({ type: v.literal('state'), vmId: nonEmpty, name: text, state, at: date }),
    shape({ type: v.picklist(['created', 'deleted', 'config', 'snapshots']), vmId: nonEmpty, name: text, at: date }),
    shape({ type: v.literal('overflow'), dropped: number, at: date }),
  ],
  'must be the type of an event',
)

/** Throws a {@link ProtocolError} if a driver's answer is not of the kind that the table of operations says. */
export function checkAnswer(driver: string, operation: DriverOperation, answer: unknown): void {
  check(answers[operations[operation].answers], answer, `the ${driver} driver gave an invalid answer to ${operation}`)
}

/** Throws a {@link ProtocolError} if a driver's event is not one. */
export function checkEvent(driver: string, emitted: VmEvent): void {
  check(event, emitted, `the ${driver} driver emitted an invalid event`)
}

function check(schema: v.GenericSchema, value: unknown, what: string): void {
  const checked = validate(schema, value, 'it')
  if (checked.isErr()) {
    throw new ProtocolError({
      reason: `${what}: ${checked.error.reason}`,
      hint: 'Report it to the author of the driver.',
    })
  }
}
