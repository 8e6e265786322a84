import type * as v from 'valibot'

/** What the definition of a VM has on every host. */
export interface WrittenVm {
  readonly id: string
  readonly name: string
  readonly createdAt: string
  /** The connection that an ephemeral VM ends with; absent if the VM is kept. */
  readonly owner?: string | undefined
}

/** How a driver keeps its VMs in a directory. */
export interface VmFormat<D extends WrittenVm> {
  /** The driver's name; `awaitvm-NAME.json` marks a directory of its VMs. */
  readonly driver: string
  /** Strict: an unknown key was written by a newer awaitvm, and the next change would drop it. */
  readonly schema: v.GenericSchema<unknown, D>
  /** All files that the definition names, by their names in the VM's folder. */
  filesOf(definition: D): ReadonlySet<string>
  /** The name by which a definition would refer to a file of the VM's folder; `undefined` if it never does. */
  dataNameOf(file: string): string | undefined
  /** Whether the driver creates files of this name in a VM's folder that the definition does not name. */
  isOther(file: string): boolean
}
