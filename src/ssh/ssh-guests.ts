import { setTimeout as delay } from 'node:timers/promises'
import type { SshAccess } from '../model/guest-access.js'
import { isSame } from '../model/is-same.js'
import { GuestConnection } from './guest-connection.js'
import { GuestConnections } from './guest-connections.js'
import { foreignKey, keyName } from './host-key.js'
import type { SshLogin } from './ssh-login.js'
import { SshWay, type SshVm } from './ssh-way.js'

/** A running VM whose guest is reached by SSH. */
export interface SshGuest extends SshVm {
  readonly access: SshAccess & Pick<SshLogin, 'privateKeyFile'>
  /** The address and port of the guest's ssh server, as seen from this machine. */
  readonly address: { readonly host: string; readonly port: number }
  /** Changes when the guest is started anew. */
  readonly life: string
  /** Keeps the host key of the first connection with the VM. Resolves to the one that is kept, which another process may have set. */
  readonly pin: (hostKey: string) => Promise<string>
}

/** How long programs may take to stop when the connection to the host is closed. */
const closingMs = 3000

interface Known {
  readonly of: Pick<SshGuest, 'access' | 'address' | 'life'>
  readonly connections: GuestConnections
  hostKey: string | undefined
}

/** The ways into the guests of a host that are reached by SSH. */
export class SshGuests {
  readonly #closing = new AbortController()
  readonly #known = new Map<string, Known>()
  /** Connections to guests that were started anew since, or whose settings were changed, as long as programs run by them. */
  readonly #former = new Set<GuestConnections>()

  wayInto(guest: SshGuest): SshWay {
    return new SshWay(guest, this.#knownOf(guest).connections, this.#closing.signal)
  }

  /** Ends the connections to a VM that the host has no more. */
  forget(vm: string): void {
    this.#known.get(vm)?.connections.close('its VM is not on the host any more')
    this.#known.delete(vm)
  }

  /**
   * Stops the programs, and closes the connections.
   *
   * @param ended settles once all work in guests has ended
   */
  async close(ended: Promise<unknown>): Promise<void> {
    this.#closing.abort(new DOMException('the server was closed', 'AbortError'))
    const late = new AbortController()
    const patience = delay(closingMs, undefined, { signal: late.signal })
    await Promise.race([ended, patience]).catch(() => undefined)
    late.abort()
    for (const { connections } of this.#known.values()) connections.close('the server was closed')
    for (const connections of this.#former) connections.close('the server was closed')
    this.#known.clear()
    this.#former.clear()
  }

  #knownOf(guest: SshGuest): Known {
    const { vm, access, address, life } = guest
    const known = this.#known.get(vm)
    const isPinned = known !== undefined && access.hostKey !== undefined && access.hostKey === known.hostKey
    // That the key of the first connection is kept with the VM now is no change.
    const present = {
      access: { ...access, hostKey: isPinned ? known.of.access.hostKey : access.hostKey },
      address,
      life,
    }
    if (known !== undefined && isSame([known.of], [present])) return known
    for (const former of this.#former) if (former.isIdle) this.#former.delete(former)
    if (known !== undefined) this.#former.add(known.connections)
    const made: Known = {
      of: present,
      connections: new GuestConnections(guest.driver, (signal) => this.#open(guest, made, signal)),
      hostKey: access.hostKey,
    }
    this.#known.set(vm, made)
    return made
  }

  async #open({ access, address, driver, pin }: SshGuest, known: Known, signal: AbortSignal): Promise<GuestConnection> {
    const { user, privateKeyFile } = access
    const login: SshLogin = { ...address, user, privateKeyFile, hostKey: known.hostKey }
    const connection = await GuestConnection.open(login, driver, signal)
    if (known.hostKey !== undefined) return connection
    try {
      const pinned = await pin(connection.hostKey)
      if (pinned !== connection.hostKey) throw foreignKey(keyName(connection.hostKey), pinned)
      known.hostKey = pinned
      return connection
    } catch (error) {
      connection.close('its host key is not pinned')
      throw error
    }
  }
}
