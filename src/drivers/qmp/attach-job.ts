import type { VmRecord } from '../../model/vm-record.js'
import type { HostTask } from '../../driver/host-task.js'
import type { Snapshot } from '../../model/snapshot.js'
import { operations, type OperationSpec } from '../../operations.js'
import type { JobLedger } from '../../registry/job-ledger.js'
import { shownSnapshot } from '../../registry/kept-snapshots.js'
import type { Definition } from './definition.js'

interface Parts {
  readonly jobs: JobLedger
  readonly find: (id: string) => Promise<Definition | undefined>
  readonly record: (definition: Definition) => Promise<VmRecord>
}

/**
 * Follows a job of another process to its end. Returns the operation's answer, or `undefined` if what it made is gone again.
 */
export async function attachJob({ jobs, find, record }: Parts, token: string, task: HostTask): Promise<unknown> {
  const { operation, vm, answer } = await jobs.follow(token, task)
  const { answers }: OperationSpec = operations[operation]
  switch (answers) {
    case 'vm': {
      const made = answer === undefined ? undefined : await find(answer)
      return made && record(made)
    }
    case 'snapshot': {
      const owner = vm === undefined ? undefined : await find(vm.id)
      return owner && snapshotOf(owner, answer)
    }
    default:
      return answer
  }
}

function snapshotOf(owner: Definition, id: string | undefined): Snapshot | undefined {
  const made = owner.snapshots.find((snapshot) => snapshot.id === id)
  return made && shownSnapshot(owner, made)
}
