import type { PowerOffReason } from './protocol.js'

/** Thrown through the emulator so that the guest executes no further instruction. */
export class GuestStop extends Error {
  readonly action: PowerOffReason | 'reset'

  constructor(action: PowerOffReason | 'reset') {
    super(action)
    this.action = action
  }
}
