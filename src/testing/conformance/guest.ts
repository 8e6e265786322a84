import type { Capability } from '../../operations.js'
import type { KeyCode } from '../../model/keys.js'
import type { VmSpec } from '../../model/vm-spec.js'
import type { Vm } from '../../vm.js'

/** The guest of one VM, as a case talks to it over some channel: a console, an agent. */
export interface Guest {
  /** Waits until the guest has booted; to be called once after each boot. */
  untilReady(): Promise<void>
  /** How many times the guest was asked since it booted, this time included. The count is in its memory only. */
  count(): Promise<number>
  /** The guest turns its power off. */
  powerOff(): Promise<void>
  /** The guest restarts itself. */
  reboot(): Promise<void>
  /** The guest crashes, as by a triple fault. */
  crash(): Promise<void>
  /** From now on the guest ignores the power button. */
  ignorePowerButton(): Promise<void>
  /** From now on the guest notices the power button, and stays on. Answers a function that waits until it has noticed. */
  refusePowerButton(): Promise<() => Promise<void>>
  /** Once the guest is off: true if it shut down, `false` if it was cut off. */
  hasShutDown(): Promise<boolean>
  /** Writes a byte to the first disk, through to the disk. */
  writeDisk(byte: number): Promise<void>
  /** Reads that byte; 0 from a blank disk. */
  readDisk(): Promise<number>
  /** Waits until the guest has noticed the key, after those that were waited for before. */
  untilKey(key: KeyCode): Promise<void>
  /** True if the guest has noticed the key since it booted. */
  hasSeenKey(key: KeyCode): Promise<boolean>
  /** Waits until the channel has ended, as it does when the VM or the connection ends; answers the error that ended it. */
  untilGone(): Promise<Error | undefined>
  /** Closes the channel. */
  close(): void
}

/** The port of {@link GuestProfile.listen}. */
export const listeningPort = 47_113

/** The guest that a host's VMs have in the cases, and how a case talks to it. */
export interface GuestProfile {
  /** The smallest VM that boots the guest. */
  readonly spec: Omit<VmSpec, 'name'>
  /** The same with one blank disk, which `writeDisk` and `readDisk` use. */
  readonly specWithDisk: Omit<VmSpec, 'name'>
  /** Why there is no guest: cases that need one are skipped, with this as the reason. */
  readonly missing?: string | undefined
  /**
   * True if a VM without a guest can be started, and stops when it is asked to, as on a host in memory: then cases run that
   * need a VM in a state, and nothing of its guest.
   */
  readonly runsBare?: boolean | undefined
  /** What the host must be capable of so that a case can talk to the guest: `'vm.console'`, `'guest.exec'`. */
  readonly needs: readonly Capability[]
  /** A program of the guest that listens at the TCP port {@link listeningPort} until it is ended. Its case is skipped if absent. */
  readonly listen?: readonly string[] | undefined
  /** Opens the channel to the guest of a VM that runs. */
  talkTo(vm: Vm): Guest
}

/** How VMs behave that have no guest. */
export interface NoGuestOptions {
  /** Why cases that need a guest are skipped. */
  readonly missing?: string | undefined
  /** See {@link GuestProfile.runsBare}; `false` if absent. */
  readonly runsBare?: boolean | undefined
}

/** VMs without a guest: cases that need one are skipped. */
export const noGuest = ({
  missing = 'the host is described without a guest',
  runsBare = false,
}: NoGuestOptions = {}): GuestProfile => ({
  spec: {},
  specWithDisk: {},
  missing,
  runsBare,
  needs: [],
  talkTo() {
    throw new GuestLacksError(missing)
  },
})

/** Thrown by a {@link Guest} that can't do what a case is about: the case is skipped, with this message as the reason. */
export class GuestLacksError extends Error {}

/** Thrown by `guestWithAgent` if the guest is not installed on this machine: the case is skipped. */
export class GuestMissingError extends GuestLacksError {}
