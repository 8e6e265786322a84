import * as v from 'valibot'
import { areDistinct, flag, list, object, pathSchema, text, type EntriesOf } from './schema.js'

/**
 * A folder of the host that a guest sees, with its files as they are. The guest mounts it by its tag:
 * `mount -t 9p -o trans=virtio,version=9p2000.L,msize=131072 project /mnt`.
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
}

/** A share as hosts keep it. */
export interface KeptShare extends ShareConfig {
  readonly readOnly: boolean
}

/** QEMU takes tags of 9p up to 31 bytes. */
export const shareTagSchema = v.pipe(
  text,
  v.regex(
    /^[A-Za-z0-9][\w.-]{0,30}$/,
    'must have 1 to 31 letters, digits, ".", "_" and "-", and begin with a letter or a digit',
  ),
)

/** One PCI slot has room for eight. */
const maxShares = 8

export const sharesSchema = v.pipe(
  list(object({ path: pathSchema, tag: shareTagSchema, readOnly: flag } satisfies EntriesOf<ShareConfig>), maxShares),
  v.check((shares) => areDistinct(shares.map(({ tag }) => tag)), 'must not have the same tag twice'),
)

/** The part of a VM's settings with its shares; without any, it has none. */
export const withShares = (shares: readonly ShareConfig[] = []): { readonly shares?: readonly KeptShare[] } =>
  shares.length === 0 ? {} : { shares: shares.map(({ path, tag, readOnly = false }) => ({ path, tag, readOnly })) }
