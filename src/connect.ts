import { err, ok, type Result } from 'neverthrow'
import * as v from 'valibot'
import type { Driver } from './driver/driver.js'
import { InvalidArgumentError } from './errors.js'
import { methodOptions, type JobOptions } from './job/job-options.js'
import { JobRunner } from './job/job-runner.js'
import type { Job } from './job/job.js'
import { UnobservedFailures, type UnobservedFailure } from './job/unobserved-failures.js'
import { object, optional } from './model/schema.js'
import { validate } from './errors/validate.js'
import type { JobTarget } from './operations.js'
import type { ConnectErrors } from './operation-errors.js'
import { knownSchemes, loaderOf, type OpenDriver } from './schemes.js'
import { Server } from './server.js'

/** The options of a connection. */
export interface ServeOptions {
  /** Most operations at a time that are sent to the host; further ones wait in line. The driver's own number if absent. */
  readonly maxConcurrentOperations?: number | undefined
  /**
   * Called once for each job that failed and that nobody looked at: when its handle is garbage collected, or the server is
   * closed.
   */
  readonly onUnobservedFailure?: ((failure: UnobservedFailure) => void) | undefined
}

/** The options of `connect`: those of its job, and those of the connection that it makes. */
export type ConnectOptions = JobOptions & ServeOptions

const isFunction = (value: unknown): boolean => typeof value === 'function'
const atLeastOne = 'must be a number from 1'
const serveEntries = {
  maxConcurrentOperations: optional(v.pipe(v.number(atLeastOne), v.minValue(1, atLeastOne))),
  onUnobservedFailure: optional(v.custom<(failure: UnobservedFailure) => void>(isFunction, 'must be a function')),
}
const serveSchema = object(serveEntries)
const readConnectOptions = methodOptions(serveEntries)

/**
 * Connects to a host of virtual machines.
 *
 * | URI | host |
 * | --- | --- |
 * | `embedded:` | VMs inside this process, kept in memory: gone when the server is closed |
 * | `embedded:///dir` | VMs inside this process, kept in a directory |
 * | `qmp:///dir` | VMs of QEMU, run directly and kept in a directory; they outlive this process |
 * | `parallels:` | Parallels Desktop or Virtuozzo on this machine, through its prlctl |
 * | `parallels+ssh://user@host` | the same on another machine, through the ssh client of this one |
 * | `qemu:///system` | VMs of libvirt on this machine |
 * | `qemu+ssh://user@host/system` | VMs of libvirt on another machine; `+tls` and `+tcp`, too |
 *
 * @example
 * ```ts
 * import { connect } from 'awaitvm'
 *
 * const connected = await connect('embedded:')
 * if (connected.isErr()) throw connected.error
 * await using server = connected.value
 * console.log(await server.getInfo().unwrap())
 * ```
 */
export function connect(uri = 'embedded:', options?: ConnectOptions): Job<Server, ConnectErrors> {
  const shown = withoutCredentials(uri)
  const target: JobTarget = { type: 'host', id: shown, name: shown }
  const { own: valid, job: jobOptions } = readConnectOptions(options)
  const runner = new JobRunner('connect', Infinity, valid.map(failuresFor).unwrapOr(undefined))
  const parsed = parseUri(uri)
  if (parsed.isErr()) return runner.refuse('connect', target, parsed.error)
  if (valid.isErr()) return runner.refuse('connect', target, valid.error)
  const { url, load } = parsed.value
  const job = runner.runAside({
    operation: 'connect',
    target,
    options: jobOptions,
    work: async (task) => {
      // Read first, so that the job can be cancelled while the driver is loaded.
      const { signal } = task
      const open = await load()
      signal.throwIfAborted()
      const driver = await open(url, task)
      // The job was given up: nobody else would close the connection.
      if (job.finishedAt !== undefined) await driver.close()
      return serveDriver(driver, shown, valid.value)
    },
  })
  return job
}

/**
 * The facade over a driver that is connected already.
 *
 * @throws an {@link InvalidArgumentError} if the options are wrong
 */
export function serveDriver(driver: Driver, uri: string, options: ServeOptions = {}): Server {
  const valid = validate(serveSchema, options, 'options')
  if (valid.isErr()) throw valid.error
  const failures = failuresFor(valid.value)
  const limit = valid.value.maxConcurrentOperations ?? driver.maxConcurrentOperations
  return new Server(uri, driver, new JobRunner(driver.name, limit, failures), () => failures?.flush())
}

const failuresFor = ({ onUnobservedFailure }: ServeOptions): UnobservedFailures | undefined =>
  onUnobservedFailure === undefined ? undefined : new UnobservedFailures(onUnobservedFailure)

interface ParsedUri {
  readonly url: URL
  readonly load: () => Promise<OpenDriver>
}

function parseUri(uri: unknown): Result<ParsedUri, InvalidArgumentError> {
  const wrong = (reason: string): Result<never, InvalidArgumentError> => {
    const known = knownSchemes().map((scheme) => `${scheme}:`)
    return err(new InvalidArgumentError({ path: 'uri', reason, hint: `Known are: ${known.join(', ')}.` }))
  }
  if (typeof uri !== 'string' || !URL.canParse(uri)) return wrong('it is not a URI')
  const url = new URL(uri)
  const load = loaderOf(uri)
  if (load === undefined) return wrong(`no host has the scheme "${url.protocol.slice(0, -1)}"`)
  return ok({ url, load })
}

/** The URI as it may be logged; it may be anything that the caller passed. */
function withoutCredentials(uri: unknown): string {
  if (typeof uri !== 'string') return `a ${typeof uri}`
  if (!URL.canParse(uri)) return uri.replace(/\/\/.*@/s, '//')
  const url = new URL(uri)
  url.password = ''
  return url.href
}
