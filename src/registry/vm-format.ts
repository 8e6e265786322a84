import type * as v from 'valibot'

/** What every VM that is written down has, whatever its host. */
export interface WrittenVm {
  readonly id: string
  readonly name: string
  readonly createdAt: string
}

/** How a driver writes its VMs down. */
export interface VmFormat<D extends WrittenVm> {
  /** The driver's name; `awaitvm-NAME.json` marks a directory of its VMs. */
  readonly driver: string
  /** Strict: a newer awaitvm has written what it does not know, and the next change would lose it. */
  readonly schema: v.GenericSchema<unknown, D>
  /** Every file that the definition speaks of, by its name in the VM's folder. */
  filesOf(definition: D): ReadonlySet<string>
  /** The name that the definition would have for a file of the VM's folder; nothing for one that it never speaks of. */
  dataNameOf(file: string): string | undefined
  /** Whether the driver makes files of this name in a VM's folder that the definition does not speak of. */
  isOther(file: string): boolean
}
