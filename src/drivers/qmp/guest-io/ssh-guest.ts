import { join } from 'node:path'
import type { Task } from '../../../driver/task.js'
import { GuestUnavailableError, InvalidArgumentError } from '../../../errors.js'
import type { GuestAccess, SshAccess } from '../../../model/guest-access.js'
import type { KeptAdapter } from '../../../network/kept-adapter.js'
import type { SshGuest } from '../../../ssh/ssh-guests.js'
import { ownKeyFile, type Hardware } from '../definition.js'
import type { RunningVm, VmAccess } from '../vm-access.js'

/** The port of ssh servers. */
const sshPort = 22

/** A running VM as the ssh client sees it. */
export const sshGuestOf = (running: RunningVm, access: SshAccess, vms: VmAccess, task: Task): SshGuest => ({
  vm: running.definition.id,
  driver: 'qmp',
  access: withOwnKey(access, running.definition.hardware, running.folder),
  address: addressOf(access, running.definition.hardware.networkAdapters),
  life: String(running.run.startedAt),
  look: running.look,
  pin: (hostKey) => pin(vms, running.definition.id, hostKey, task),
})

/** What is not said of the keys is what the seed gave to the guest. */
function withOwnKey(access: SshAccess, { ownKey }: Hardware, folder: string): SshGuest['access'] {
  const { privateKeyFile = ownKey && join(folder, ownKeyFile(ownKey)), hostKey = ownKey?.hostKey } = access
  if (privateKeyFile === undefined) throw noKey('config')
  return { ...access, privateKeyFile, hostKey }
}

/** Throws if a guest is to be reached by a key that the VM does not have. */
export function requireKey(
  guest: GuestAccess | undefined,
  { ownKey }: Pick<Hardware, 'ownKey'>,
  root: 'spec' | 'changes',
): void {
  if (guest?.way === 'ssh' && guest.privateKeyFile === undefined && ownKey === undefined) throw noKey(root)
}

/** The way into a guest that gets another host key. */
export function withoutHostKey(guest: GuestAccess | undefined): GuestAccess | undefined {
  if (guest?.way !== 'ssh') return guest
  const { hostKey: _hostKey, ...access } = guest
  return access
}

const noKey = (root: string): InvalidArgumentError =>
  new InvalidArgumentError({
    path: `${root}.guest.privateKeyFile`,
    reason: `${root}.guest.privateKeyFile is missing, and the VM has no key of its own`,
    hint: 'Give the file of a key, or give the VM a key and a seed that tells the guest of it: cloudInit: {}.',
  })

/** An address that was given, or a port of this computer that is forwarded to the guest's ssh server. */
function addressOf(
  { host, port = sshPort }: SshAccess,
  adapters: readonly KeptAdapter[],
): { readonly host: string; readonly port: number } {
  if (host !== undefined) return { host, port }
  for (const { guestPort, protocol, hostPort, foundHostPort, hostAddress } of adapters.flatMap((a) => a.portForwards)) {
    const found = hostPort ?? foundHostPort
    if (guestPort !== port || protocol !== 'tcp' || found === undefined) continue
    return { host: hostAddress === '0.0.0.0' ? '127.0.0.1' : hostAddress, port: found }
  }
  throw new GuestUnavailableError({
    reason: `no port of this computer is forwarded to the port ${String(port)} of its guest`,
    hint: `Add networkAdapters: [{ portForwards: [{ guestPort: ${String(port)} }] }] while it is stopped, or give the setting guest a host.`,
  })
}

/** Keeps the host key with the VM, unless one is kept already. Resolves to the one that is kept. */
const pin = (vms: VmAccess, vm: string, hostKey: string, task: Task): Promise<string> =>
  vms.change(
    vm,
    task,
    { signal: new AbortController().signal, send: () => undefined },
    async (held) => {
      const { guest } = held.definition
      // The setting was changed since, and the key is for this connection only.
      if (guest?.way !== 'ssh') return hostKey
      if (guest.hostKey !== undefined) return guest.hostKey
      await held.save({ ...held.definition, guest: { ...guest, hostKey } })
      return hostKey
    },
    { expected: ['running', 'paused'], isSequel: true },
  )
