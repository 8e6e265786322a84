import type { VmEvent } from '../../model/vm-event.js'

/** Whoever hears of what happens on the host: a connection. */
export interface Listener {
  /** Whether there is any point in telling it. */
  readonly isListening: boolean
  /** @param by whoever did it, where somebody did: a connection, or somebody else */
  hear(event: VmEvent, by: Listener | 'another' | undefined): void
}
