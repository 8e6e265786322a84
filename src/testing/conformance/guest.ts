import type { Capability } from '../../driver/driver.js'
import type { KeyCode } from '../../model/keys.js'
import type { Vm } from '../../vm.js'
import type { VmSpec } from '../../model/vm-spec.js'

/** The guest of one VM, as a case talks to it: by whatever channel, it can be asked for the same things. */
export interface Guest {
  /** Waits until it has come up; once for each time that it does. */
  untilReady(): Promise<void>
  /** Lets the guest count: 1 when it has just come up, then one more at each call or other command. Lost with its memory. */
  count(): Promise<number>
  /** The guest turns its power off. */
  powerOff(): Promise<void>
  /** The guest restarts itself. */
  reboot(): Promise<void>
  /** The guest dies, as by a triple fault. */
  crash(): Promise<void>
  /** From then on the guest does not look at the power button. */
  ignorePowerButton(): Promise<void>
  /** From then on the guest takes note of the power button, and stays on. Answers what waits until it has taken note. */
  refusePowerButton(): Promise<() => Promise<void>>
  /** Whether it went down in good order, rather than being cut off; told once it has gone. */
  hasShutDown(): Promise<boolean>
  writeDisk(byte: number): Promise<void>
  readDisk(): Promise<number>
  /** Waits until it has noticed that the key was pressed, after those that were waited for before. */
  untilKey(key: KeyCode): Promise<void>
  /** Whether it has noticed the key at any time. */
  hasSeenKey(key: KeyCode): Promise<boolean>
  /** Waits until the channel has ended, as it does when the VM or the connection ends; the error that ended it, if any. */
  untilGone(): Promise<Error | undefined>
  /** Lets go of the channel. */
  close(): void
}

/** What kind of guest a host's VMs have in the cases, and how a case talks to it. */
export interface GuestProfile {
  /** The smallest VM that boots the guest; with a name it is a spec. */
  readonly spec: Omit<VmSpec, 'name'>
  /** The same with one blank disk, which `writeDisk` and `readDisk` work on. */
  readonly specWithDisk: Omit<VmSpec, 'name'>
  /** Why there is no guest; cases that need one are skipped, with this for a reason. */
  readonly missing?: string | undefined
  /** What it takes of the host to talk to the guest. */
  readonly needs: readonly Capability[]
  /** Begins to talk to the guest of a VM that runs. */
  talkTo(vm: Vm): Guest
}

/** A guest of the profile can't do what a case is about: the case is skipped, with this for a reason. */
export class GuestLacksError extends Error {}

/** The guest can't be had on this machine. */
export class GuestMissingError extends GuestLacksError {}
