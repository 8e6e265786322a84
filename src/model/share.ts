import * as v from 'valibot'
import { areDistinct, flag, list, object, optional, pathSchema, text, type EntriesOf } from './schema.js'

/**
 * A folder of the host that a guest sees, with its files as they are. The guest mounts it by its tag:
 * `mount -t 9p -o trans=virtio,version=9p2000.L,msize=131072 project /mnt`, or `mount -t virtiofs project /mnt`.
 *
 * @example
 * ```ts
 * import { connect } from 'awaitvm'
 *
 * await using server = await connect('qmp:///srv/vms').unwrap()
 * const vm = await server
 *   .createVm({
 *     name: 'ci-1',
 *     disks: [{ image: '/images/debian.qcow2' }],
 *     shares: [{ path: '/srv/project', tag: 'project', readOnly: true }],
 *   })
 *   .unwrap()
 * await vm.start({ until: 'ready', timeoutMs: 120_000 }).unwrap()
 * await vm.guest.exec('mount -t 9p -o trans=virtio,version=9p2000.L project /mnt', { check: true }).unwrap()
 * ```
 */
export interface ShareConfig {
  /**
   * Absolute path of a folder that exists. `vm.config` has it without links in it; if one takes the place of a part of it later, the VM
   * is not started. Not a folder with VMs of awaitvm in it or above it: a guest could change them.
   */
  readonly path: string
  /** The name by which the guest mounts it: 1 to 31 letters, digits, `.`, `_` and `-`, the first a letter or digit; unique in the VM. */
  readonly tag: string
  /** `true`: the host lets the guest only read. The guest may write if absent or `false`. */
  readonly readOnly?: boolean | undefined
  /**
   * How the guest gets the files. `'9p'` if absent: QEMU itself serves them, and the guest's memory can be saved unless it has them mounted.
   * `'virtiofs'` is faster, and known to kernels without 9p. It takes the program virtiofsd on the host, which needs root there (with
   * QEMU 7.2); a guest can write; and up to QEMU 8, a VM with such a share is neither suspended nor cloned with its memory.
   */
  readonly type?: ShareType | undefined
}

/** How a guest gets the files of a share. */
export type ShareType = '9p' | 'virtiofs'

/** A share as hosts keep it. */
export interface KeptShare extends ShareConfig {
  readonly readOnly: boolean
  readonly type: ShareType
}

/** QEMU takes tags of 9p up to 31 bytes. */
export const shareTagSchema = v.pipe(
  text,
  v.regex(
    /^[A-Za-z0-9][\w.-]{0,30}$/,
    'must have 1 to 31 letters, digits, ".", "_" and "-", and begin with a letter or a digit',
  ),
)

export const shareTypeSchema = v.picklist(['9p', 'virtiofs'], 'must be "9p" or "virtiofs"')

/** One PCI slot has room for eight. */
const maxShares = 8

export const sharesSchema = v.pipe(
  list(
    object({
      path: pathSchema,
      tag: shareTagSchema,
      readOnly: flag,
      type: optional(shareTypeSchema),
    } satisfies EntriesOf<ShareConfig>),
    maxShares,
  ),
  v.check((shares) => areDistinct(shares.map(({ tag }) => tag)), 'must not have the same tag twice'),
)

/** A share with what it is if nothing else is said. */
export const asKept = ({ path, tag, readOnly = false, type = '9p' }: ShareConfig): KeptShare => ({
  path,
  tag,
  readOnly,
  type,
})

/** The part of a VM's settings with its shares; without any, it has none. */
export const withShares = (shares: readonly ShareConfig[] = []): { readonly shares?: readonly KeptShare[] } =>
  shares.length === 0 ? {} : { shares: shares.map(asKept) }
