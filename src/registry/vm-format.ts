import * as v from 'valibot'
import { parseShallowJson } from '../model/shallow-json.js'

/** What every VM that is written down has, whatever its host. */
export interface WrittenVm {
  readonly id: string
  readonly name: string
  readonly createdAt: string
}

/** How a driver writes its VMs down. */
export interface VmFormat<D extends WrittenVm> {
  /** The driver's name; `awaitvm-NAME.json` marks a directory of its VMs. */
  readonly driver: string
  /** Strict: what it does not know, a newer awaitvm has written, and it would be lost with the next change. */
  readonly schema: v.GenericSchema<unknown, D>
  /** Every file that the definition speaks of, by its name in the VM's folder. */
  filesOf(definition: D): ReadonlySet<string>
  /** The name that the definition would have for a file of the VM's folder; nothing for one that it never speaks of. */
  dataNameOf(file: string): string | undefined
  /** Whether the driver makes files of this name in a VM's folder that the definition does not speak of. */
  isOther(file: string): boolean
}

/** A file whose content is not what it is to be. */
export class FormatError extends Error {
  /** Whether a newer awaitvm may have written it. */
  readonly isNewer: boolean

  constructor(message: string, isNewer: boolean, cause?: unknown) {
    super(message, { cause })
    this.name = 'FormatError'
    this.isNewer = isNewer
  }
}

/** A value may be as long as its file. */
const maxMessageLength = 300

/** The content of a JSON file, as the schema has it. Throws a {@link FormatError} that names the first thing that is wrong. */
export function parseJson<S extends v.GenericSchema>(schema: S, text: string): v.InferOutput<S> {
  if (text === '') throw new FormatError('it is empty', false)
  let value: unknown
  try {
    value = parseShallowJson(text)
  } catch (cause) {
    throw new FormatError(
      cause instanceof Error ? cause.message.slice(0, maxMessageLength) : 'it is no JSON',
      false,
      cause,
    )
  }
  const parsed = v.safeParse(schema, value, { abortEarly: true })
  if (parsed.success) return parsed.output
  const [issue] = parsed.issues
  const path = v.getDotPath(issue)
  const isUnknown = issue.expected === 'never'
  const what = isUnknown ? 'is not known to this awaitvm' : issue.message
  const message = path === null ? what : isUnknown ? `${path} ${what}` : `${path}: ${what}`
  throw new FormatError(message.slice(0, maxMessageLength), isUnknown || isLater(path, issue.input))
}

const isLater = (path: string | null, value: unknown): boolean =>
  (path === 'format' || path === 'version') && typeof value === 'number'
