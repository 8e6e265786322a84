import type { ConnectOptions, KeyCode, Server, Vm, VmSpec, VmState } from 'awaitvm'
import type { ConsoleReader } from '../support/console-reader.js'

/** What a case needs to know of a guest that it talks to over the serial console. */
export interface GuestProfile {
  /** The smallest VM that boots the guest; with a name it is a spec. */
  readonly spec: Omit<VmSpec, 'name'>
  /** The same with one blank disk, which `writeDisk` and `readDisk` work on. */
  readonly specWithDisk: Omit<VmSpec, 'name'>
  /** What the guest prints once, when it has come up. */
  readonly readyLine: string
  /** What it prints when it goes down because it was asked to. */
  readonly poweringOffLine: string
  /** Lets the guest count: 1 when it has just come up, then one more at each call or other command. Lost with its memory. */
  count(console: ConsoleReader): Promise<number>
  /** What it prints at that count. */
  countLine(counted: number): string
  /** How many lines it reads for each that it counts. */
  readonly linesPerCommand: number
  /** The guest turns its power off. */
  powerOff(console: ConsoleReader): void
  /** The guest restarts itself. */
  reboot(console: ConsoleReader): void
  /** The guest dies, as by a triple fault. */
  crash(console: ConsoleReader): void
  /** From then on the guest does not look at the power button. */
  ignorePowerButton(console: ConsoleReader): Promise<void>
  /** From then on the guest takes note of the power button, prints this line, and stays on. */
  refusePowerButton(console: ConsoleReader): Promise<string>
  writeDisk(console: ConsoleReader, byte: number): Promise<void>
  readDisk(console: ConsoleReader): Promise<number>
  /** What the guest prints when a key is pressed. */
  keyLine(key: KeyCode): string
}

/** One connection to a host that was made for one case, and nobody else uses. */
export interface OpenHost {
  readonly server: Server
  /** Another connection to the same host, where there can be several. */
  connectAgain?(options?: ConnectOptions): Promise<Server>
  /** Everything that the host keeps on disk, as paths; a case compares before and after. */
  files?(): Promise<readonly string[]>
  /** What makes the host know the VM again after `vm.unregister()`. */
  registrationPath?(vm: Vm): string
  /** The URI of another host that VMs can be moved to. */
  readonly migrationTarget?: string
  /** Lets go of everything, and tells what is still there that should not be. The servers are closed by then. */
  dispose(): Promise<readonly string[]>
}

/** A host that the suite runs against, and what it documents where hosts differ. */
export interface ConformanceHost {
  /** As in the README's table; the part before the colon selects it in `AWAITVM_TEST_HOSTS`. */
  readonly name: string
  /** `server.driver` */
  readonly driver: string
  /** Why the host can't be had on this machine. */
  readonly unavailable?: string | undefined
  readonly guest: GuestProfile
  /** Whether VMs are still there for the next connection. Then `connectAgain` is there, too. */
  readonly keepsVms: boolean
  /** Whether a running VM runs on when the connection is closed, or is killed. */
  readonly onClose: 'runs-on' | 'is-killed'
  /** Whether a VM that one connection runs can be worked on by another. */
  readonly sharesRunningVms: boolean
  /** Whether a press of the power button that the guest has not noticed can be taken back. */
  readonly withdrawsPowerButton: boolean
  /** Where a guest that dies leads to. */
  readonly afterCrash: VmState
  open(options?: ConnectOptions): Promise<OpenHost>
}
