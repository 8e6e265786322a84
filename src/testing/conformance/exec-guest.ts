import type { ExecResult } from '../../model/exec.js'
import type { KeyCode } from '../../model/keys.js'
import type { Result } from '../../result.js'
import type { Vm } from '../../vm.js'
import type { VmError } from '../../errors.js'
import type { VmSpec } from '../../model/vm-spec.js'
import { ConsoleReader } from './console-reader.js'
import { within } from './deadline.js'
import { type Guest, GuestLacksError, type GuestProfile } from './guest.js'

/** Programs of a guest, as argument lists. Cases are skipped that need one which is absent. */
export interface GuestPrograms {
  /** Turns the guest's power off. */
  readonly powerOff?: readonly string[] | undefined
  /** Restarts the guest. */
  readonly reboot?: readonly string[] | undefined
  /** Crashes the guest, as a panic of its kernel does. */
  readonly crash?: readonly string[] | undefined
  /** Makes the guest ignore the power button from then on. */
  readonly ignorePowerButton?: readonly string[] | undefined
  /** Makes the guest notice the power button from then on, and stay on. */
  readonly refusePowerButton?: readonly string[] | undefined
  /** Exits with 0 if the power button was pressed since the guest booted. */
  readonly wasAskedToGo?: readonly string[] | undefined
  /** Exits with 0 if the guest shut down the last time, and was not cut off. */
  readonly hasShutDown?: readonly string[] | undefined
  /** Prints the keys that the guest has noticed, one `KeyCode` a line. */
  readonly keysSeen?: readonly string[] | undefined
}

/** `$memory` is a folder that is lost with the guest's memory, `$disk` one that is not; each command counts as one. */
const prelude = `set -e
memory=\${XDG_RUNTIME_DIR:-/run}
disk=\${HOME:-/root}
counted=$(cat "$memory/awaitvm-count" 2>/dev/null || echo 0)
counted=$((counted + 1))
echo "$counted" >"$memory/awaitvm-count"
`

/** Time for a kernel to boot without hardware virtualization, on a loaded machine. */
const bootTimeoutMs = 50_000

/** A POSIX guest whose agent runs programs, through `vm.guest.exec`. */
class ExecGuest implements Guest {
  readonly #vm: Vm
  readonly #programs: GuestPrograms
  readonly #booted: string | undefined
  #keysSeen = 0

  constructor(vm: Vm, programs: GuestPrograms, booted: string | undefined) {
    this.#vm = vm
    this.#programs = programs
    this.#booted = booted
  }

  async untilReady(): Promise<void> {
    if (this.#booted !== undefined) {
      const console = new ConsoleReader(this.#vm.console())
      await console.until(this.#booted, bootTimeoutMs)
      console.close()
    }
    // A folder in memory can be made once after each boot.
    await this.#untilSuccess(['sh', '-c', 'mkdir "${XDG_RUNTIME_DIR:-/run}/awaitvm-ready" 2>/dev/null'])
  }

  async count(): Promise<number> {
    return Number(await this.#script('echo "$counted"'))
  }

  async powerOff(): Promise<void> {
    await this.#goDown('powerOff')
  }

  async reboot(): Promise<void> {
    await this.#goDown('reboot')
  }

  async crash(): Promise<void> {
    await this.#goDown('crash')
  }

  async ignorePowerButton(): Promise<void> {
    await this.#run(this.#program('ignorePowerButton'))
  }

  async refusePowerButton(): Promise<() => Promise<void>> {
    const wasAsked = this.#program('wasAskedToGo')
    await this.#run(this.#program('refusePowerButton'))
    return () => this.#untilSuccess(wasAsked)
  }

  async hasShutDown(): Promise<boolean> {
    const program = this.#program('hasShutDown')
    // A guest that is off is asked after the next boot.
    if ((await this.#vm.getState().unwrap()) === 'stopped') await this.#vm.start().unwrap()
    return (await this.#answer(program)).exitCode === 0
  }

  async writeDisk(byte: number): Promise<void> {
    await this.#script(`echo ${byte} >"$disk/awaitvm-byte"; sync "$disk/awaitvm-byte"`)
  }

  async readDisk(): Promise<number> {
    return Number(await this.#script('cat "$disk/awaitvm-byte" 2>/dev/null || echo 0'))
  }

  async untilKey(key: KeyCode): Promise<void> {
    const seen = async (): Promise<number> => (await this.#keys()).indexOf(key, this.#keysSeen)
    const find = async (): Promise<void> => {
      let at = await seen()
      while (at < 0) at = await seen()
      this.#keysSeen = at + 1
    }
    await within(find(), () => `the key ${key}`)
  }

  async hasSeenKey(key: KeyCode): Promise<boolean> {
    return (await this.#keys()).includes(key)
  }

  async untilGone(): Promise<undefined> {
    // Nothing stays open between two programs.
  }

  close(): void {}

  async #keys(): Promise<string[]> {
    return (await this.#run(this.#program('keysSeen'))).split('\n')
  }

  #program(name: keyof GuestPrograms): readonly string[] {
    const program = this.#programs[name]
    if (program === undefined) throw new GuestLacksError(`the guest has no program for ${name}`)
    return program
  }

  /** The result is ignored: the guest may be off before it can answer. */
  async #goDown(name: 'powerOff' | 'reboot' | 'crash'): Promise<void> {
    await this.#vm.guest.exec(this.#program(name))
  }

  async #script(body: string): Promise<string> {
    return await this.#run(['sh', '-c', `${prelude}${body}`])
  }

  /** The output of the program, which must succeed. */
  async #run(argv: readonly string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.#answer(argv)
    if (exitCode === 0) return stdout.trim()
    throw new Error(`${argv.join(' ')} ended with ${String(exitCode)}: ${stderr}`)
  }

  async #untilSuccess(argv: readonly string[]): Promise<void> {
    const succeed = async (): Promise<void> => {
      for (;;) {
        const result = await this.#vm.guest.exec(argv)
        if (result.isOk() && result.value.exitCode === 0) return
        if (isFinal(result)) throw result.error
      }
    }
    await within(succeed(), () => `the success of ${argv.join(' ')}`)
  }

  /** Repeats the program until the agent answers, some time after the VM has started. */
  async #answer(argv: readonly string[]): Promise<ExecResult> {
    const exec = async (): Promise<ExecResult> => {
      for (;;) {
        const result = await this.#vm.guest.exec(argv)
        if (result.isOk()) return result.value
        if (isFinal(result)) throw result.error
      }
    }
    return await within(exec(), () => `an agent that runs ${argv.join(' ')}`)
  }
}

const isFinal = (result: Result<unknown, VmError>): result is Extract<typeof result, { error: VmError }> =>
  result.isErr() && result.error.code !== 'GUEST_UNAVAILABLE'

/**
 * A POSIX guest in which the host runs programs, for hosts whose VMs have one if they are made from these specs.
 *
 * @param booted what the guest says on the serial console once its agent is about to answer; where it is absent, the agent is asked
 */
export const execGuest = (
  specs: { readonly spec: Omit<VmSpec, 'name'>; readonly specWithDisk: Omit<VmSpec, 'name'> },
  programs: GuestPrograms,
  booted?: string,
): GuestProfile => ({ ...specs, needs: ['guest.exec'], talkTo: (vm) => new ExecGuest(vm, programs, booted) })
