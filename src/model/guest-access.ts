import { isAbsolute } from 'node:path'
import * as v from 'valibot'
import { nonEmpty, object, optional, plainText, portSchema, type EntriesOf } from './schema.js'

/**
 * The way into a guest by QEMU's guest agent, which is that of QEMU's hosts if nothing is said.
 */
export interface AgentAccess {
  /** By the agent. */
  readonly way: 'agent'
}

/**
 * The way into a guest by SSH. The guest needs an ssh server and a POSIX shell, and no software of awaitvm's.
 *
 * What is kept with the VM holds no secret: of the private key, only the path of its file. The user has to be one that logs in by
 * that key alone, `root` or one that may run programs by `sudo` without a password if other users are asked for.
 *
 * @example
 * ```ts
 * import { connect } from 'awaitvm'
 *
 * await using server = await connect('qmp:///srv/vms').unwrap()
 * const vm = await server
 *   .createVm({
 *     name: 'ci-1',
 *     disks: [{ image: '/images/debian.raw' }],
 *     networkAdapters: [{ portForwards: [{ guestPort: 22 }] }],
 *     guest: { way: 'ssh', user: 'root', privateKeyFile: '/home/ci/.ssh/id_ed25519' },
 *   })
 *   .unwrap()
 * await vm.start().unwrap()
 * await vm.guest.exec(['uname', '-a']).unwrap()
 * ```
 */
export interface SshAccess {
  /** By SSH. */
  readonly way: 'ssh'
  /** The user to log in as, which programs run as unless another is asked for. */
  readonly user: string
  /**
   * Absolute path of a file on this machine with the private key, in the format of OpenSSH or PEM, without a passphrase. It is read
   * at each connection. If absent, the VM's own key, which its `cloudInit` tells the guest of: all users that it makes can be logged in
   * as, and the user of the image itself, such as `debian`.
   */
  readonly privateKeyFile?: string | undefined
  /**
   * The address that the guest is reached at. If absent, a port forward of the VM to its `port` is taken, on a host that has port
   * forwards, otherwise an address that the host knows.
   */
  readonly host?: string | undefined
  /** The port that the guest's ssh server listens on; 22 if absent. With a port forward, it is the guest's. */
  readonly port?: number | undefined
  /**
   * The public host key of the guest, as in its `/etc/ssh/ssh_host_ed25519_key.pub`: `ssh-ed25519 AAAA…`. A guest that has another
   * is refused with `AUTHENTICATION_FAILED`. If absent, the key that `cloudInit` gave to the guest; without that, the key of the
   * first connection is trusted, and kept here from then on; `vm.edit({ guest })` without it trusts anew.
   */
  readonly hostKey?: string | undefined
}

/**
 * No way into a guest, on the embedded host: the guest boots as it is, without the program that a Linux with an initrd is given
 * otherwise.
 */
export interface NoAccess {
  /** By none. */
  readonly way: 'none'
}

/** How `vm.guest` gets into a guest: the kind of host has a way of its own if absent. */
export type GuestAccess = AgentAccess | SshAccess | NoAccess

/** `root`, `ci`, `web-1`: no user name of a POSIX system begins with a dash, or has blanks or slashes. */
const userSchema = v.pipe(
  plainText,
  v.regex(/^[\w.][\w.@$-]{0,255}$/, 'must be the name of a user: letters, digits, "_", ".", "@" and "-"'),
)

const keyFileSchema = v.pipe(
  plainText,
  // A message that begins with "is" does not show the value.
  v.check(
    (path) => !path.includes('PRIVATE KEY'),
    'is a key itself, and must be the path of a file with it, since no key is kept with a VM',
  ),
  v.check(isAbsolute, 'must be an absolute path: use path.resolve()'),
)

const hostSchema = v.pipe(
  nonEmpty,
  v.regex(/^[\w:][\w.:%-]{0,254}$/, 'must be a host name or an address, without a user and a port'),
)

const hostKeySchema = v.pipe(
  plainText,
  v.regex(
    /^(?:ssh|ecdsa)-[a-z0-9-]+ [A-Za-z0-9+/]{16,4096}={0,2}(?: [^\n]*)?\n?$/,
    'must be a public key, as in the file ssh_host_ed25519_key.pub of the guest: "ssh-ed25519 AAAA..."',
  ),
  v.transform((key) => key.trim().split(' ').slice(0, 2).join(' ')),
)

const entries = {
  agent: { way: v.literal('agent') } satisfies EntriesOf<AgentAccess>,
  none: { way: v.literal('none') } satisfies EntriesOf<NoAccess>,
  ssh: {
    way: v.literal('ssh'),
    user: userSchema,
    privateKeyFile: optional(keyFileSchema),
    host: optional(hostSchema),
    port: optional(portSchema),
    hostKey: optional(hostKeySchema),
  } satisfies EntriesOf<SshAccess>,
} satisfies Readonly<Record<GuestAccess['way'], unknown>>

/** Refuses a way that is not known. */
const otherWay = object(
  { way: v.custom<never>(() => false, 'must be "agent", "ssh" or "none"') },
  Object.keys(entries.ssh),
)
const schemas: ReadonlyMap<unknown, v.GenericSchema<unknown, GuestAccess>> = new Map<
  unknown,
  v.GenericSchema<unknown, GuestAccess>
>([
  ['agent', object(entries.agent)],
  ['none', object(entries.none)],
  ['ssh', object(entries.ssh)],
])

const isWay = (input: unknown): input is { readonly way: unknown } =>
  typeof input === 'object' && input !== null && 'way' in input

/** The settings of a way depend on the way, so that one of another way is refused by its name. */
export const guestAccessSchema: v.GenericSchema<unknown, GuestAccess> = v.lazy(
  (input) => (isWay(input) ? schemas.get(input.way) : undefined) ?? otherWay,
)

/** As a VM's definition keeps it: strict, since a key that is not known was written by a newer awaitvm. */
export const keptGuestAccess = v.variant('way', [
  v.strictObject(entries.agent),
  v.strictObject(entries.ssh),
  v.strictObject(entries.none),
])
