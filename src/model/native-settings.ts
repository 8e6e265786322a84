import * as v from 'valibot'
import { list, nonEmpty, object, optional, plainText, type EntriesOf } from './schema.js'

/** Settings of one kind of host that awaitvm does not model. */
export interface NativeSettings {
  /**
   * Arguments for QEMU behind those of awaitvm: an option and its value are two of them. Options that awaitvm sets itself, and names
   * that it uses, are refused with what to use instead. They stay with the VM, its snapshots and its clones, and can be changed while it is
   * stopped. What QEMU does not take ends the start with its own words.
   *
   * What they open is yours to keep: a file that QEMU writes to is in no snapshot and no clone. QEMU runs in its sandbox, and may
   * start no program.
   *
   * @example
   * ```ts
   * import { connect } from 'awaitvm'
   *
   * await using server = await connect('qmp:///srv/vms').unwrap()
   * await server
   *   .createVm({ name: 'web-1', native: { arguments: ['-device', 'virtio-rng-pci', '-rtc', 'base=localtime'] } })
   *   .unwrap()
   * ```
   */
  readonly arguments?: readonly string[] | undefined
}

export const nativeSettingsSchema = object({
  arguments: optional(list(v.pipe(plainText, nonEmpty), 256)),
} satisfies EntriesOf<NativeSettings>)
