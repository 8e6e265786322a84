import * as v from 'valibot'
import type { VmRecord } from '../model/vm-record.js'
import { PermissionDeniedError, ProtocolError, type VmError } from '../errors.js'
import { parseShallowJson } from '../model/shallow-json.js'
import { vmNameSchema } from '../model/vm-spec.js'

/** A VM that is there, and whose definition can't be read. */
export class DamagedVm {
  readonly id: string
  /** As far as that can be read; its id where it can't. */
  readonly name: string
  /** What is wrong with it, and the way out. */
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

/** What is wrong with the files of a VM, where the error says that; any other is thrown on. */
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
    // Of what is no JSON, nothing can be told.
    return undefined
  }
}
