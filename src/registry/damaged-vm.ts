import * as v from 'valibot'
import type { VmRecord } from '../model/vm-record.js'
import { PermissionDeniedError, ProtocolError, type VmError } from '../errors.js'
import { parseShallowJson } from '../model/shallow-json.js'
import { vmNameSchema } from '../model/vm-spec.js'

/** A VM whose definition can't be read. */
export class DamagedVm {
  readonly id: string
  /** Its id if the name can't be read. */
  readonly name: string
  /** What is wrong, and what to do. */
  readonly problem: VmError

  constructor(id: string, text: string, problem: VmError) {
    this.id = id
    this.name = nameIn(text) ?? id
    this.problem = problem
  }

  /** As users see it. */
  get record(): VmRecord {
    const { id, name, problem } = this
    const nothing = { description: '', cpus: 0, memoryMiB: 0, disks: [], cdroms: [], floppies: [], boot: {} }
    return { id, state: 'unknown', config: { name, ...nothing }, problem }
  }
}

/** Returns an error that describes the files of a VM; rethrows any other. */
export function problemOf(error: unknown): VmError {
  if (error instanceof ProtocolError || error instanceof PermissionDeniedError) return error
  throw error
}

const namedSchema = v.object({ name: vmNameSchema })

function nameIn(text: string): string | undefined {
  try {
    const { success, output } = v.safeParse(namedSchema, parseShallowJson(text))
    return success ? output.name : undefined
  } catch {
    // Text that is not JSON has no name.
    return undefined
  }
}
