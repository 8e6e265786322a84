import type { Duplex } from 'node:stream'

/** Makes connections to one daemon. They may share what they go through, such as one login of ssh. */
export interface Dialer {
  /** Bytes to and from the daemon. */
  dial(signal: AbortSignal): Promise<Duplex>
  /** Ends what the connections share, once they have ended. */
  close(): Promise<void>
}

/** For connections that share nothing. */
export const separate = (dial: Dialer['dial']): Dialer => ({ dial, close: () => Promise.resolve() })
