/**
 * The conformance suite: whether the driver of a host keeps every promise of awaitvm's API. It needs vitest.
 *
 * @module
 */
export { builtInGuest } from '../../drivers/embedded/machine/guest.js'
export type { Subject } from './cases.js'
export { execGuest, type GuestPrograms } from './exec-guest.js'
export {
  GuestLacksError,
  GuestMissingError,
  listeningPort,
  noGuest,
  type Guest,
  type GuestProfile,
  type NoGuestOptions,
} from './guest.js'
export type { ConformanceHost, OpenHost } from './host.js'
export { serialGuest } from './serial-guest.js'
export { describeConformance } from './suite.js'
