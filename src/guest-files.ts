import type { Readable, Writable } from 'node:stream'
import * as v from 'valibot'
import type { DriverOperationTypes } from './driver/driver.js'
import { callDriver, type DriverConnection } from './driver-call.js'
import { GuestFileError, InvalidArgumentError } from './errors.js'
import { validate } from './errors/validate.js'
import { bytesOf } from './exec/bytes-of.js'
import { FileReadStream } from './exec/file-read-stream.js'
import { FileWriteStream } from './exec/file-write-stream.js'
import { methodOptions, type JobOptions } from './job/job-options.js'
import type { Job } from './job/job.js'
import type { ProgramInput } from './model/exec.js'
import type { GuestEntry, GuestStats } from './model/guest-file.js'
import { flag, optional, plainText, wholeFrom0 } from './model/schema.js'
import { pathSchema } from './model/schema.js'
import type * as errors from './operation-errors.js'
import type { DriverOperation, JobTarget } from './operations.js'
import type { OperationErrors } from './operation-errors.js'
import { err, ok, type Result } from './result.js'

/** The longest file that `readFile` reads if the caller sets no limit. */
const maxFileBytes = 64 * 2 ** 20

const guestPath = v.pipe(plainText, v.minLength(1, 'must not be empty'))
const mode = optional(wholeFrom0(0o7777, '0o7777'))
const position = optional(wholeFrom0(Number.MAX_SAFE_INTEGER))
/** What a caller passes in as content. */
export const inputSchema = v.custom<ProgramInput>(
  isInput,
  'must be a string, a Uint8Array, a Readable or another async iterable',
)
const owner = optional(v.pipe(plainText, v.regex(/^[^:\s-][^:\s]*(:[^:\s]+)?$/, 'must be a user, or user:group')))

const readReadOptions = methodOptions({
  encoding: optional(v.picklist(['utf8', 'buffer'], 'must be "utf8" or "buffer"')),
  maxBytes: optional(wholeFrom0(2 ** 30)),
})
const readWriteOptions = methodOptions({ mode, append: flag })
const readListOptions = methodOptions({ withFileTypes: flag })
const readMkdirOptions = methodOptions({ recursive: flag, mode })
const readRmOptions = methodOptions({ recursive: flag, force: flag })
const readRangeOptions = methodOptions({ start: position, end: position })
const readCopyOptions = methodOptions({ owner })

/** How a file of a guest is read. */
export interface ReadFileOptions {
  /** Text, the default, or bytes. Bytes that are not UTF-8 become U+FFFD. */
  readonly encoding?: 'utf8' | 'buffer' | undefined
  /** The longest file that is read, in bytes; 64 MiB if absent. A longer one ends with a `GuestFileError` EFBIG. */
  readonly maxBytes?: number | undefined
}

/** How a file of a guest is written. */
export interface WriteFileOptions {
  /** The permissions of a new file; 0o666 less the umask of the guest if absent. */
  readonly mode?: number | undefined
  /** Whether the content goes to the end of the file; else it replaces what is there. */
  readonly append?: boolean | undefined
}

/** Which part of a file of a guest is read, as by `createReadStream` of `node:fs`. */
export interface ReadRange {
  /** The first byte; 0 if absent. */
  readonly start?: number | undefined
  /** The last byte; that of the file if absent. */
  readonly end?: number | undefined
}

/** How files are copied into a guest. */
export interface CopyInOptions {
  /** Who is to own the copy, as `user` or `user:group` of the guest; the user of the host's way into the guest if absent. */
  readonly owner?: string | undefined
}

/** What a facade of a guest needs to know of its VM. */
export interface GuestOfVm {
  readonly id: string
  readonly target: JobTarget
}

const itself = <T>(value: T): T => value
const nothing = (): void => undefined

/** The files of a guest. */
export abstract class GuestFiles {
  readonly #connection: DriverConnection
  readonly #vm: GuestOfVm

  /** @internal */
  constructor(connection: DriverConnection, vm: GuestOfVm) {
    this.#connection = connection
    this.#vm = vm
  }

  /** Reads a file: text by default, or bytes. */
  readFile(
    path: string,
    options: ReadFileOptions & { readonly encoding: 'buffer' } & JobOptions,
  ): Job<Uint8Array, errors.ReadFileErrors>
  /** Reads a file: text by default, or bytes. */
  readFile(
    path: string,
    options?: ReadFileOptions & { readonly encoding?: 'utf8' | undefined } & JobOptions,
  ): Job<string, errors.ReadFileErrors>
  readFile(path: string, options?: ReadFileOptions & JobOptions): Job<string | Uint8Array, errors.ReadFileErrors> {
    const { own, job } = readReadOptions(options)
    const { encoding, maxBytes = maxFileBytes } = own.unwrapOr<ReadFileOptions>({})
    const pieces: Uint8Array[] = []
    let size = 0
    const output = (bytes: Uint8Array): void => {
      size += bytes.byteLength
      if (size > maxBytes) throw tooLarge(path, maxBytes)
      pieces.push(bytes)
    }
    const input = this.#at(path).andThen((at) => own.map(() => ({ ...at, output })))
    return this.#call('guest.readFile', input, job, () => {
      const content = Buffer.concat(pieces)
      return encoding === 'buffer' ? new Uint8Array(content) : content.toString()
    })
  }

  /**
   * Writes a file. It has its old content until it has all of the new one, unless `append` is set. An error of a stream ends the job,
   * and nothing is left of the new content.
   */
  writeFile(
    path: string,
    data: ProgramInput,
    options?: WriteFileOptions & JobOptions,
  ): Job<void, errors.WriteFileErrors> {
    const { own, job } = readWriteOptions(options)
    const input = this.#at(path).andThen((at) =>
      validate(inputSchema, data, 'data').andThen((content) =>
        own.map(({ append = false, ...rest }) => ({ ...at, ...rest, append, input: bytesOf(content, 'data') })),
      ),
    )
    return this.#call('guest.writeFile', input, job, nothing)
  }

  /** Reads a file as a stream, from `start` to `end`, both included. Destroying it ends the reading. */
  createReadStream(path: string, options?: ReadRange & JobOptions): Readable {
    const { own, job } = readRangeOptions(options)
    return new FileReadStream((output) => {
      const input = this.#at(path).andThen((at) =>
        own
          .andThen(inOrder)
          .map(({ start, end }) => ({ ...at, output, start, end: end === undefined ? undefined : end + 1 })),
      )
      return this.#call('guest.readFile', input, job, nothing)
    })
  }

  /** Writes a file as a stream. Once it has finished, the file is complete; destroying it before leaves the old content. */
  createWriteStream(path: string, options?: WriteFileOptions & JobOptions): Writable {
    const { own, job } = readWriteOptions(options)
    return new FileWriteStream((bytes) => {
      const input = this.#at(path).andThen((at) =>
        own.map(({ append = false, ...rest }) => ({ ...at, ...rest, append, input: bytes })),
      )
      return this.#call('guest.writeFile', input, job, nothing)
    })
  }

  /** What is in a folder, by name: the names, or entries with types. */
  readdir(
    path: string,
    options: { readonly withFileTypes: true } & JobOptions,
  ): Job<readonly GuestEntry[], errors.ReaddirErrors>
  /** What is in a folder, by name: the names, or entries with types. */
  readdir(
    path: string,
    options?: { readonly withFileTypes?: false | undefined } & JobOptions,
  ): Job<readonly string[], errors.ReaddirErrors>
  readdir(
    path: string,
    options?: { readonly withFileTypes?: boolean | undefined } & JobOptions,
  ): Job<readonly (string | GuestEntry)[], errors.ReaddirErrors> {
    const { own, job } = readListOptions(options)
    const { withFileTypes } = own.unwrapOr({ withFileTypes: undefined })
    const input = this.#at(path).andThen((at) => own.map(() => at))
    return this.#call('guest.readdir', input, job, (entries) => {
      const sorted = [...entries].sort((one, other) => (one.name < other.name ? -1 : 1))
      return withFileTypes === true ? sorted : sorted.map(({ name }) => name)
    })
  }

  /** What a file is. Links are followed. */
  stat(path: string, options?: JobOptions): Job<GuestStats, errors.StatErrors> {
    return this.#stat(path, options, true)
  }

  /** What a file is, or a link itself. */
  lstat(path: string, options?: JobOptions): Job<GuestStats, errors.StatErrors> {
    return this.#stat(path, options, false)
  }

  /** Whether there is a file or folder of that name. Links are followed. */
  exists(path: string, options?: JobOptions): Job<boolean, errors.StatErrors> {
    const input = this.#at(path).map((at) => ({ ...at, followLinks: true }))
    return this.#call('guest.stat', input, options, (stats) => stats !== undefined)
  }

  /** Makes a folder; with `recursive`, also those above it, and none if it is there. */
  mkdir(
    path: string,
    options?: { readonly recursive?: boolean | undefined; readonly mode?: number | undefined } & JobOptions,
  ): Job<void, errors.MkdirErrors> {
    const { own, job } = readMkdirOptions(options)
    const input = this.#at(path).andThen((at) =>
      own.map(({ recursive = false, ...rest }) => ({ ...at, ...rest, recursive })),
    )
    return this.#call('guest.mkdir', input, job, nothing)
  }

  /** Removes a file; with `recursive`, also a folder with all that is in it; with `force`, a missing one is no error. */
  rm(
    path: string,
    options?: { readonly recursive?: boolean | undefined; readonly force?: boolean | undefined } & JobOptions,
  ): Job<void, errors.RmErrors> {
    const { own, job } = readRmOptions(options)
    const input = this.#at(path).andThen((at) =>
      own.map(({ recursive = false, force = false }) => ({ ...at, recursive, force })),
    )
    return this.#call('guest.rm', input, job, nothing)
  }

  /** Renames a file or folder; a file of the new name is replaced. */
  rename(from: string, to: string, options?: JobOptions): Job<void, errors.RenameErrors> {
    const input = validate(guestPath, from, 'from').andThen((source) =>
      validate(guestPath, to, 'to').map((target) => ({ vm: this.#vm.id, from: source, to: target })),
    )
    return this.#call('guest.rename', input, options, nothing)
  }

  /**
   * Copies a file or folder of this machine, by its absolute path, into the guest, under exactly the name `to`. Permissions, times and
   * links are kept. A file that is there is replaced once the copy is complete, and nothing is left of a copy that fails.
   */
  copyIn(from: string, to: string, options?: CopyInOptions & JobOptions): Job<void, errors.CopyInErrors> {
    const { own, job } = readCopyOptions(options)
    const input = validate(pathSchema, from, 'from').andThen((source) =>
      validate(guestPath, to, 'to').andThen((target) =>
        own.map((rest) => ({ vm: this.#vm.id, from: source, to: target, ...rest })),
      ),
    )
    return this.#call('guest.copyIn', input, job, nothing)
  }

  /**
   * Copies a file or folder of the guest to an absolute path of this machine, under exactly that name. As {@link copyIn}; links that
   * lead out of the folder and names that do are refused.
   */
  copyOut(from: string, to: string, options?: JobOptions): Job<void, errors.CopyOutErrors> {
    const input = validate(guestPath, from, 'from').andThen((source) =>
      validate(pathSchema, to, 'to').map((target) => ({ vm: this.#vm.id, from: source, to: target })),
    )
    return this.#call('guest.copyOut', input, options, nothing)
  }

  #stat(path: string, options: JobOptions | undefined, followLinks: boolean): Job<GuestStats, errors.StatErrors> {
    const input = this.#at(path).map((at) => ({ ...at, followLinks }))
    return this.#call('guest.stat', input, options, (stats) => {
      if (stats !== undefined) return stats
      throw new GuestFileError({ errno: 'ENOENT', path, reason: `the guest has no ${JSON.stringify(path)}` })
    })
  }

  #at(path: string): Result<{ readonly vm: string; readonly path: string }, InvalidArgumentError> {
    return validate(guestPath, path, 'path').map((valid) => ({ vm: this.#vm.id, path: valid }))
  }

  #call<O extends DriverOperation, T>(
    method: O,
    input: Result<DriverOperationTypes[O]['input'], InvalidArgumentError>,
    options: JobOptions | undefined,
    map: (output: DriverOperationTypes[O]['output']) => T,
  ): Job<T, OperationErrors<O>> {
    return callDriver(this.#connection, {
      method,
      operation: method,
      target: this.#vm.target,
      input: input.match<DriverOperationTypes[O]['input'] | InvalidArgumentError>(itself, itself),
      options,
      map,
    })
  }
}

const inOrder = (range: ReadRange): Result<ReadRange, InvalidArgumentError> =>
  range.end === undefined || range.end >= (range.start ?? 0)
    ? ok(range)
    : err(new InvalidArgumentError({ path: 'options.end', reason: 'options.end is less than options.start' }))

function isInput(value: unknown): boolean {
  if (typeof value === 'string' || value instanceof Uint8Array) return true
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

const tooLarge = (path: string, maxBytes: number): GuestFileError =>
  new GuestFileError({
    errno: 'EFBIG',
    path,
    reason: `${path} is longer than ${String(maxBytes)} bytes`,
    hint: 'Read it with createReadStream(), or raise maxBytes.',
  })
