import * as v from 'valibot'
import { callDriver, type DriverCall, type DriverConnection } from './driver-call.js'
import type { DriverOperations } from './driver/driver.js'
import { hostTask } from './driver/host-task.js'
import type { Task } from './driver/task.js'
import { InvalidArgumentError } from './errors.js'
import { validate } from './errors/validate.js'
import type { Job } from './job/job.js'
import { nonEmpty } from './model/schema.js'
import type { Snapshot, SnapshotNode } from './model/snapshot.js'
import type { OperationErrors } from './operation-errors.js'

/** A snapshot as methods take it: itself, its id, or its name. An id goes before a name. */
export type SnapshotArgument = Snapshot | string

export const snapshotSchema = v.union(
  [nonEmpty, v.object({ id: nonEmpty })],
  'must be a snapshot, or the id or name of one',
)

interface SnapshotInput {
  readonly vm: string
  readonly snapshot: string
}

/** The input of the driver, and how a name in it becomes an id. */
interface SnapshotChoice {
  readonly input: SnapshotInput | InvalidArgumentError
  readonly complete: ((input: SnapshotInput, task: Task) => Promise<SnapshotInput>) | undefined
}

/** A call of an operation on one snapshot of a VM. */
interface SnapshotCall<O extends 'vm.switchToSnapshot' | 'vm.deleteSnapshot', T> extends Pick<
  DriverCall<O, O, T>,
  'method' | 'target' | 'options' | 'map'
> {
  readonly snapshot: SnapshotArgument
}

/** Makes a job of an operation on one snapshot of a VM. */
export function callOnSnapshot<O extends 'vm.switchToSnapshot' | 'vm.deleteSnapshot', T>(
  connection: DriverConnection,
  { snapshot, ...call }: SnapshotCall<O, T>,
): Job<T, OperationErrors<O>> {
  const chosen = chooseSnapshot(call.target.id, snapshot, connection.driver.operations)
  return callDriver(connection, { ...call, operation: call.method, ...chosen })
}

/** Reads the argument. A snapshot's own id is taken as it is; the host is asked what else a text means, if it lists snapshots. */
function chooseSnapshot(vm: string, argument: SnapshotArgument, operations: DriverOperations): SnapshotChoice {
  const { 'vm.getSnapshotTree': getTree } = operations
  return validate(snapshotSchema, argument, 'snapshot').match<SnapshotChoice>(
    (given) =>
      typeof given === 'string'
        ? {
            input: { vm, snapshot: given },
            complete:
              getTree && (async (_input, task) => ({ vm, snapshot: await snapshotIdOf(given, { vm, getTree }, task) })),
          }
        : { input: { vm, snapshot: given.id }, complete: undefined },
    (error) => ({ input: error, complete: undefined }),
  )
}

/** The id of the snapshot that a text means, which is asked of the host. */
export async function snapshotIdOf(
  idOrName: string,
  { vm, getTree }: { readonly vm: string; readonly getTree: NonNullable<DriverOperations['vm.getSnapshotTree']> },
  task: Task,
): Promise<string> {
  return idOf(await hostTask(task).askFirst(() => getTree({ vm }, task)), idOrName)
}

/** What is neither an id nor a name is left to the host, which says that it has no such snapshot. */
function idOf(tree: readonly SnapshotNode[], idOrName: string): string {
  const named: string[] = []
  const open = [...tree]
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (node.id === idOrName) return idOrName
    if (node.name === idOrName) named.push(node.id)
    // Not spread into the arguments of a call: there may be tens of thousands.
    for (const child of node.children) open.push(child)
  }
  if (named.length < 2) return named[0] ?? idOrName
  const list = named.sort().map((id) => JSON.stringify(id))
  throw new InvalidArgumentError({
    path: 'snapshot',
    reason: `it has ${String(named.length)} snapshots named ${JSON.stringify(idOrName)}, with the ids ${list.join(', ')}`,
    hint: 'Give the id of one of them.',
  })
}
