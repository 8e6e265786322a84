import { inBackground } from '../background.js'
import type { GuestAgent } from './agent.js'
import type { ShellOfOther } from './shell-log.js'
import type { ShellOwners } from './shell-owners.js'

/** How often shells whose client has ended are looked for, while there are new programs, and how many of them one shell ends. */
const othersMs = 5000
const maxSwept = 100

/** Lets the shell in a guest end other shells there that nobody uses any more. */
export class ShellSweeper {
  readonly #guest: GuestAgent
  readonly #owners: ShellOwners
  readonly #send: (line: string) => void
  /** The folders of shells that this one ends. */
  readonly #swept = new Set<string>()
  #askedAt = performance.now()

  /** @param send sends a line to the shell */
  constructor(guest: GuestAgent, owners: ShellOwners, send: (line: string) => void) {
    this.#guest = guest
    this.#owners = owners
    this.#send = send
  }

  /** Asks for other shells, unless it was done lately: a shell does it once by itself, at first. */
  look(): void {
    if (performance.now() <= this.#askedAt + othersMs) return
    this.#askedAt = performance.now()
    this.#send('others')
  }

  /** Ends another shell if nobody uses it any more. */
  hearOf(other: ShellOfOther): void {
    inBackground(`VM ${this.#guest.vm}: ending what others have left in its guest`, () => {
      if (this.#swept.has(other.folder) || this.#swept.size >= maxSwept || !this.#owners.isLeft(this.#guest, other))
        return
      this.#swept.add(other.folder)
      this.#send(`sweep ${other.folder} &`)
    })
  }
}
