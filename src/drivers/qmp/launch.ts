import { hostClockMs } from '../../clock.js'
import type { Task } from '../../driver/task.js'
import { JobCancelledError } from '../../errors.js'
import type { Draft } from '../../registry/replace-file.js'
import { withoutRest } from '../../registry/kept-definition.js'
import type { HeldVm } from './held-vm.js'
import { tellMediumChanged } from './disks/removable-medium.js'
import { loadMemory } from './disks/memory-image.js'
import { joinBridges } from './network/bridges.js'
import { openForwards } from './network/port-forwards.js'
import { endCompanions, killStarted, startCompanions, type Companion, type CompanionPlan } from './process/companion.js'
import { endQemu, hasEnded } from './process/qemu-end.js'
import { QmpConnectionError } from './protocol/qmp-errors.js'
import { prepareRunFiles, startQemu } from './process/qemu-process.js'
import { causeOfCrash, draftRun, endOfRun, removeRun, type RunPlan, type RunRecord } from './process/run-record.js'

interface Launch {
  readonly plan: RunPlan
  /** The programs that are started before it. */
  readonly companions: readonly CompanionPlan[]
  readonly onExit: () => void
}

/** A QEMU that runs, and its monitor connection that is being closed, which no other operation has to wait for. */
export interface Launched {
  readonly run: RunRecord
  readonly leaving: Promise<unknown>
  /** Why the guest has crashed already. The record of its QEMU stays, so that others see the crash. */
  readonly crash?: string | undefined
}

/** How long a QEMU may take to end once it has closed the connection. */
const exitTimeoutMs = 2000

/** Starts the QEMU of a VM and runs its guest, from saved memory if there is any. After a failure, no QEMU is left. */
export async function launch(vm: HeldVm, task: Task, { plan, companions: wanted, onExit }: Launch): Promise<Launched> {
  const { definition, folder } = vm
  const { memory, hardware } = definition
  prepareRunFiles(folder, memory !== undefined)
  task.progress({ percent: 10, phase: 'starting QEMU' })
  const started = await startCompanions(folder, wanted, vm.signal)
  const companions = started.map(({ name, process }): Companion => ({ name, process }))
  let drafted: Draft | undefined
  const { identity, monitor, prepared, ended } = await startQemu(folder, plan.commandLine, {
    signal: vm.signal,
    onExit,
    prepare(process) {
      const run: RunRecord = {
        process,
        startedAt: hostClockMs(),
        ...plan,
        ...(companions.length > 0 && { companions }),
      }
      const draft = (drafted = draftRun(folder, run))
      return { run, draft }
    },
  }).catch(async (error: unknown) => {
    drafted?.drop()
    await killStarted(started)
    throw error
  })
  const { run, draft } = prepared
  let mayHaveRun = false
  try {
    await joinBridges(folder, hardware.networkAdapters)
    const networkAdapters = await openForwards(monitor, hardware.networkAdapters)
    if (memory !== undefined) {
      task.progress({ percent: 40, phase: 'loading memory' })
      await loadMemory(monitor, folder, memory)
      for (const drive of memory.changedDrives ?? []) await tellMediumChanged(monitor, `drive-${drive}`)
    }
    if (vm.signal.aborted) throw new JobCancelledError({ reason: 'it was cancelled before the guest ran' })
    draft.keep()
    // Saved memory is dropped before the guest runs: from then on it does not match the disks any more.
    if (memory !== undefined || definition.hasCrashed === true || networkAdapters !== hardware.networkAdapters) {
      await vm.save(withoutRest({ ...definition, hardware: { ...hardware, networkAdapters } }))
    }
    task.progress({ percent: 90, phase: 'starting the processors' })
    mayHaveRun = memory?.isPaused !== true
    if (mayHaveRun) await monitor.execute('cont')
    return { run, leaving: monitor.close() }
  } catch (error) {
    const isGone = error instanceof QmpConnectionError && (await hasEnded(folder, identity, exitTimeoutMs))
    if (isGone && mayHaveRun) {
      const crash = (await endOfRun(folder)) === 'crash' ? await causeOfCrash(folder) : undefined
      return { run, leaving: monitor.close(), crash }
    }
    draft.drop()
    await endQemu(folder, identity, monitor)
    await endCompanions(folder, companions)
    removeRun(folder)
    if (vm.definition !== definition) await vm.save(definition)
    // QEMU's last output explains more than a closed connection.
    throw isGone ? await ended.catch((words: unknown) => words) : error
  }
}
