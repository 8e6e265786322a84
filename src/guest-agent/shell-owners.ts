import { randomBytes } from 'node:crypto'
import { basename } from 'node:path'
import type { GuestAgent } from './agent.js'
import type { ShellOfOther } from './shell-log.js'

/** Whose the shells in guests are: a shell is ended by the next client of its guest once its own has ended. */
export class ShellOwners {
  /** Tells this connection from others of this process. */
  readonly #connection = randomBytes(6).toString('hex')
  /** The names of the folders of the shells that this connection uses. */
  readonly #used = new Set<string>()

  /** What the file `owner` of a shell of this connection has. */
  lineFor({ clients }: GuestAgent): string {
    return `${clients.own} ${this.#connection}`
  }

  /** The name of the folder of a new shell. */
  newShell(): string {
    const name = `awaitvm-${randomBytes(6).toString('hex')}`
    this.#used.add(name)
    return name
  }

  /** Notes that this connection uses a shell no more. */
  leave(name: string): void {
    this.#used.delete(name)
  }

  /** Whether nobody uses a shell any more, for certain. Other connections of a process are trusted to end theirs. */
  isLeft({ clients }: GuestAgent, { folder, client, connection }: ShellOfOther): boolean {
    if (connection === this.#connection) return !this.#used.has(basename(folder))
    return clients.hasEnded(client)
  }
}
