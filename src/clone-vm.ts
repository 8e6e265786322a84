import { callDriver, type DriverConnection } from './driver-call.js'
import type { DriverInputs } from './driver/driver.js'
import type { Task } from './driver/task.js'
import { InvalidArgumentError } from './errors.js'
import type { Job } from './job/job.js'
import type { VmRecord } from './model/vm-record.js'
import type { CloneErrors } from './operation-errors.js'
import type { JobTarget } from './operations.js'
import { snapshotIdOf } from './snapshot-argument.js'
import { readCloneOptions, type CloneOptions } from './vm-arguments.js'

type CloneInput = DriverInputs['vm.clone']

/** `vm.clone()`: of the disks, or of the memory, too. */
export function cloneVm<V>(
  connection: DriverConnection,
  options: CloneOptions,
  target: JobTarget,
  vmOf: (record: VmRecord) => V,
): Job<V, CloneErrors> {
  const { own, job } = readCloneOptions(options)
  const call = { method: 'vm.clone', operation: 'vm.clone', target, options: job, map: vmOf } as const
  if (own.isErr()) return callDriver(connection, { ...call, input: own.error })
  const { name, linked = false, memory = false, ephemeral = false, snapshot } = own.value
  if (snapshot !== undefined && !memory) return callDriver(connection, { ...call, input: needsMemory() })
  const id = typeof snapshot === 'object' ? snapshot.id : snapshot
  return callDriver(connection, {
    ...call,
    input: { vm: target.id, name, linked, memory, ephemeral, ...(id !== undefined && { snapshot: id }) },
    needs: [
      ...(memory ? (['vm.clone.memory'] as const) : linked ? (['vm.clone.linked'] as const) : []),
      ...(ephemeral ? (['vm.clone.ephemeral'] as const) : []),
    ],
    ...(typeof snapshot === 'string' && { complete: ofSnapshot(connection, snapshot) }),
  })
}

/** Completes the input with the id of the snapshot that a text means, if the host lists snapshots. */
function ofSnapshot({ driver }: DriverConnection, idOrName: string) {
  const { 'vm.getSnapshotTree': getTree } = driver.operations
  return async (input: CloneInput, task: Task): Promise<CloneInput> =>
    getTree === undefined
      ? input
      : { ...input, snapshot: await snapshotIdOf(idOrName, { vm: input.vm, getTree }, task) }
}

const needsMemory = (): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'options.snapshot',
    reason: 'options.snapshot needs options.memory to be true',
    hint: 'To clone the disks of a snapshot only, switch to it with vm.switchToSnapshot(), and clone the VM then.',
  })
