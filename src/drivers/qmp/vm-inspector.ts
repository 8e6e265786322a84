import { setTimeout as delay } from 'node:timers/promises'
import * as v from 'valibot'
import type { VmError } from '../../errors.js'
import { diskFull } from '../../errors/disk-full.js'
import type { VmState } from '../../model/vm-state.js'
import { DamagedVm, problemOf } from '../../registry/damaged-vm.js'
import type { Holder } from '../../registry/claim.js'
import { isAlive, type ProcessIdentity } from '../../registry/process-identity.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import { runFiles } from './run-files.js'
import type { Definition } from './definition.js'
import { stateAtRest } from '../../registry/kept-definition.js'
import { isResumed, lastChange } from './logs/last-change.js'
import { openMonitor, SharedMonitor } from './process/monitor.js'
import type { QmpClient } from './protocol/qmp-client.js'
import { QmpConnectionError, QmpTimeoutError } from './protocol/qmp-errors.js'
import { lackOf } from './process/companion.js'
import { hasEnded, untilEnded } from './process/qemu-end.js'
import { announcedEnd, causeOfCrash, endOfRun, readRun, type RunEnd, type RunRecord } from './process/run-record.js'

const statusSchema = v.object({ status: v.string() })

/** The states of QEMU's `query-status`. */
const states: Readonly<Record<string, VmState>> = {
  running: 'running',
  // The guest sleeps (ACPI S3) until a key is pressed.
  suspended: 'running',
  paused: 'paused',
  prelaunch: 'paused',
  debug: 'paused',
  'io-error': 'paused',
  watchdog: 'paused',
  postmigrate: 'paused',
  'guest-panicked': 'crashed',
  'internal-error': 'crashed',
  shutdown: 'stopping',
  inmigrate: 'migrating',
  'finish-migrate': 'migrating',
  'save-vm': 'snapshotting',
  'restore-vm': 'resuming',
}

const announcedPollMs = 100
/** How long QEMU may take to tell the state of its guest, before the state is `unknown`. */
const answerTimeoutMs = 10_000
/** How long a QEMU may take to end once it accepts no connection any more. */
const exitTimeoutMs = 2000

/** What can be seen of a VM at one moment. */
export interface Sight {
  readonly state: VmState
  /** The QEMU that runs it. */
  readonly run?: RunRecord | undefined
  /** Why QEMU has paused the guest by itself. */
  readonly problem?: VmError | undefined
  /** What the VM lacks although it runs. */
  readonly lack?: VmError | undefined
  /** How the last QEMU ended, if the definition does not say so yet. */
  readonly end?: RunEnd | undefined
  /** The cause of a crash, as far as it is known, or what is wrong with damaged files. */
  readonly message?: string | undefined
}

/** QEMU's own account; `problem` tells why it has stopped the guest by itself. */
type Answer = Pick<Sight, 'state' | 'problem'>

interface LookOptions {
  /** How long QEMU may take to answer. With 0, QEMU is not asked, and a VM that has a QEMU is `running`. */
  readonly timeoutMs?: number | undefined
  /** Asks QEMU only if its event log does not tell the state: reading the log costs a hundredth. */
  readonly trustsLog?: boolean | undefined
  /** Aborting it ends the look, which then fails with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** Looks at VMs. Nothing is cached. */
export class VmInspector {
  readonly #directory: VmDirectory<Definition>
  readonly #monitors = new Map<string, SharedMonitor>()

  constructor(directory: VmDirectory<Definition>) {
    this.#directory = directory
  }

  /** Uses the VM's monitor for queries. */
  monitor<T>(id: string, action: (client: QmpClient) => Promise<T>): Promise<T> {
    let monitor = this.#monitors.get(id)
    if (monitor === undefined) {
      monitor = new SharedMonitor(() => openMonitor(this.#directory.folder(id), runFiles.watch))
      this.#monitors.set(id, monitor)
    }
    return monitor.use(action)
  }

  async look(found: Definition, options: Omit<LookOptions, 'timeoutMs'> = {}): Promise<Sight> {
    for (let definition: Definition | undefined = found, sight: Sight | undefined; ;) {
      const holder = this.#directory.holder(definition.id)
      sight = await this.lookAtRun(definition, { ...options, ...(holder !== undefined && { timeoutMs: 0 }) })
      if (holder !== undefined) return shownBy(holder, sight)
      // Another process may have changed the VM in between: what was read before that does not fit what was read after it.
      definition = await this.#directory.replaced(definition)
      if (definition !== undefined) continue
      const later = sight.run && this.#directory.holder(found.id)
      return later === undefined ? sight : shownBy(later, sight)
    }
  }

  /** A look that rarely asks QEMU; also at a VM whose files are damaged. */
  async glance(found: Definition | DamagedVm): Promise<Sight> {
    if (found instanceof DamagedVm) return { state: 'unknown', message: found.problem.message }
    try {
      return await this.look(found, { trustsLog: true })
    } catch (error) {
      return { state: 'unknown', message: problemOf(error).message }
    }
  }

  /** The state of the QEMU itself, regardless of a claim on the VM. */
  async lookAtRun(definition: Definition, options: LookOptions = {}): Promise<Sight> {
    const { timeoutMs = answerTimeoutMs, trustsLog = false } = options
    const folder = this.#directory.folder(definition.id)
    const run = readRun(folder)
    if (run === undefined) return { state: stateAtRest(definition) }
    if (isAlive(run.process, folder)) {
      // The owner saved the memory, and crashed before it ended QEMU: the saved memory counts.
      if (definition.memory !== undefined) return { state: 'suspended', run }
      const isKnown = timeoutMs === 0 || (trustsLog && isResumed(lastChange(folder)))
      const known: Answer = { state: 'running' }
      const answer = isKnown ? known : await this.#ask(definition.id, run.process, { ...options, timeoutMs })
      if (answer !== undefined) return { ...answer, run, lack: lackOf(folder, run.companions) }
    }
    if (definition.memory !== undefined) return { state: 'suspended' }
    const end = await endOfRun(folder)
    const message = await causeOfCrash(folder)
    // If the VM was started again in between, the files that were read belong to the new run.
    if (readRun(folder)?.startedAt !== run.startedAt) return this.lookAtRun(definition, options)
    if (end !== 'crash') return { state: 'stopped', end }
    return { state: 'crashed', end, message }
  }

  /** The state of the guest; `undefined` if QEMU has just ended. */
  async #ask(
    id: string,
    identity: ProcessIdentity,
    { timeoutMs, signal: ended }: LookOptions & { readonly timeoutMs: number },
  ): Promise<Answer | undefined> {
    const folder = this.#directory.folder(id)
    const answered = new AbortController()
    const signal = ended === undefined ? answered.signal : AbortSignal.any([answered.signal, ended])
    try {
      // A QEMU that is ending may never answer.
      const late = delay<Answer>(timeoutMs, { state: 'unknown' }, { signal })
      const answer = await Promise.race([this.#status(id), untilAnnounced(folder, signal), late])
      const { state } = answer
      if (state !== 'stopping' && state !== 'unknown') return answer
      // The log and the process tell whether it is ending or can't answer.
      if ((await announcedEnd(folder)) !== undefined) await untilEnded(folder, identity)
      else if (state === 'stopping') await hasEnded(folder, identity, exitTimeoutMs)
      return isAlive(identity, folder) ? answer : undefined
    } catch (error) {
      ended?.throwIfAborted()
      throw error
    } finally {
      answered.abort()
    }
  }

  /** A QEMU that accepts no connection is about to end. */
  async #status(id: string): Promise<Answer> {
    try {
      const { status } = v.parse(statusSchema, await this.monitor(id, (client) => client.execute('query-status')))
      // QEMU stops a guest for no other error of a disk (`werror=enospc`, `rerror=report` by default).
      return { state: states[status] ?? 'unknown', ...(status === 'io-error' && { problem: diskFull() }) }
    } catch (error) {
      if (error instanceof QmpConnectionError) return { state: 'stopping' }
      if (error instanceof QmpTimeoutError) return { state: 'unknown' }
      throw error
    }
  }
}

/** What others see of a VM that a process has claimed. */
function shownBy({ state }: Holder, sight: Sight): Sight {
  // The holder may not have noticed yet that QEMU is gone.
  const hasGone = sight.run === undefined && (state === 'running' || state === 'paused')
  return hasGone || state === sight.state ? sight : { ...sight, state, problem: undefined, lack: undefined }
}

/** Resolves when QEMU's log announces its end; never after QEMU has answered. */
async function untilAnnounced(folder: string, answered: AbortSignal): Promise<Answer> {
  while ((await announcedEnd(folder)) === undefined) {
    const isTime = await delay(announcedPollMs, true, { signal: answered }).catch(() => false)
    if (!isTime) return new Promise(() => undefined)
  }
  return { state: 'stopping' }
}
