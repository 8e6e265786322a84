import { randomUUID } from 'node:crypto'
import { closeSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isOnLocalDisk } from './file-system.js'
import { isAlive, ownIdentity, type ProcessIdentity } from './process-identity.js'
import { draftIn, draftPrefix } from './replace-file.js'
import { holdSign, isHeld, makeSign } from './sign-of-life.js'

/** One of the connections that share a directory, and how the others identify it. */
export class Membership {
  readonly #folder: string
  #identity = ownIdentity(true)
  #descriptor: number | undefined

  constructor(root: string) {
    this.#folder = join(root, 'processes')
  }

  get identity(): ProcessIdentity {
    return this.#identity
  }

  /** Creates this connection's sign of life, and removes those of dead processes. */
  async join(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    // A sign that another machine holds can't be seen here: on shared file systems there are none.
    if (!isOnLocalDisk(this.#folder)) return
    await this.#sweep()
    const draft = draftIn(this.#folder)
    if (!(await makeSign(draft))) {
      this.#identity = ownIdentity(false)
      return
    }
    const sign = randomUUID()
    this.#descriptor = holdSign(draft)
    // Held before it is visible: a sign that nobody holds counts as that of a dead process.
    await rename(draft, join(this.#folder, sign))
    this.#identity = ownIdentity(false, sign)
  }

  /** Whether another member is running, or may be. */
  isAlive(member: ProcessIdentity): boolean {
    return isAlive(member, this.#folder)
  }

  /** Whether the connection of another member is open, or may be: its process may have closed it. */
  isConnected(member: ProcessIdentity): boolean {
    return this.isAlive(member) && (member.sign === '' || isHeld(join(this.#folder, member.sign)))
  }

  /** Removes the sign of life. This connection must have no claim any more. */
  async leave(): Promise<void> {
    if (this.#descriptor === undefined) return
    closeSync(this.#descriptor)
    this.#descriptor = undefined
    await rm(join(this.#folder, this.#identity.sign), { force: true })
  }

  async #sweep(): Promise<void> {
    for (const entry of await readdir(this.#folder, { withFileTypes: true })) {
      const path = join(this.#folder, entry.name)
      // A draft may not be held yet.
      const isSign = entry.isFIFO() && !entry.name.startsWith(draftPrefix)
      if (isSign && !isHeld(path)) await rm(path, { force: true })
    }
  }
}
