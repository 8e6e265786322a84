import { createRequire } from 'node:module'
import { err, Job, ok, type Result, type VmError } from 'awaitvm'
import { JobCore } from '../../src/job/job-core.js'

// Runs the Promises/A+ suite on `then` or on `unwrap`, and prints its counts as JSON. It is a process of its own, since the
// suite leaves rejected promises behind by design.

interface Deferred {
  readonly promise: PromiseLike<unknown>
  resolve(value: unknown): void
  reject(reason: unknown): void
}

/** A job whose inner promise the suite settles with values that are no Results. */
function jobAround(promise: Promise<unknown>): Job<unknown> {
  const core = new JobCore<unknown, VmError>('vm.start')
  Object.defineProperty(core, 'promise', { value: promise })
  return new Job(core)
}

function deferred<V>(view: (promise: Promise<V>) => PromiseLike<unknown>, wrap: Wrap<V>): Deferred {
  let resolve!: (value: V) => void
  let reject!: (reason: unknown) => void
  const promise = new Promise<V>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return {
    promise: view(promise),
    resolve: (value) => {
      resolve(wrap.value(value))
    },
    reject: (reason) => {
      wrap.reason(reason, resolve, reject)
    },
  }
}

interface Wrap<V> {
  value(value: unknown): V
  reason(reason: unknown, resolve: (value: V) => void, reject: (reason: unknown) => void): void
}

const raw: Wrap<unknown> = { value: (value) => value, reason: (reason, _resolve, reject) => reject(reason) }
const results: Wrap<Result<unknown, unknown>> = { value: ok, reason: (reason, resolve) => resolve(err(reason)) }

const adapters = {
  then: { deferred: () => deferred((promise) => jobAround(promise), raw) },
  unwrap: { deferred: () => deferred((promise) => jobAround(promise).unwrap(), results) },
}

interface Runner {
  on(event: 'pass' | 'fail' | 'end', listener: () => void): void
}

type RunSuite = (adapter: object, options: object, done: () => void) => void

function printCounts(runner: Runner): void {
  let passes = 0
  let failures = 0
  runner.on('pass', () => (passes += 1))
  runner.on('fail', () => (failures += 1))
  runner.on('end', () => console.log(JSON.stringify({ passes, failures })))
}

const runSuite = createRequire(import.meta.url)('promises-aplus-tests') as RunSuite
// The suite's limit of 200 ms for a test is too short on a loaded machine.
const options = { reporter: printCounts, timeout: 120_000 }
runSuite(adapters[process.argv[2] as keyof typeof adapters], options, () => undefined)
