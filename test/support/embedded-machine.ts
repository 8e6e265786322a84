import { Machine } from '../../src/drivers/embedded/machine/machine.js'
import type { MachineEvents, MachineSpec } from '../../src/drivers/embedded/machine/protocol.js'
import { emulatorCode } from '../../src/drivers/embedded/machine/emulator-code.js'

/** Collects what a machine reports, and waits for it. */
export class MachineLog {
  readonly reports: string[] = []
  output = ''
  /** Called with what the guest writes to its second serial port. */
  onPortOutput: (bytes: Uint8Array) => void = () => undefined
  readonly #waiters = new Set<() => void>()

  readonly events: Required<MachineEvents> = {
    output: (bytes) => {
      this.output += Buffer.from(bytes).toString('latin1')
      this.#wake()
    },
    portOutput: (bytes) => this.onPortOutput(bytes),
    powerOff: (reason) => this.#report(`power off: ${reason}`),
    reset: () => this.#report('reset'),
    diskFull: (error) => this.#report(`disk full: ${error.message}`),
    crash: (error) => this.#report(`crash: ${error.message}`),
  }

  /** Settles when the output, from `offset` on, contains the text. */
  async untilOutput(text: string, offset = 0): Promise<void> {
    await this.#until(() => this.output.includes(text, offset))
  }

  /** Settles when the machine has reported something that starts like this. */
  async untilReport(start: string): Promise<void> {
    await this.#until(() => this.reports.some((report) => report.startsWith(start)))
  }

  #report(text: string): void {
    this.reports.push(text)
    this.#wake()
  }

  async #until(isTrue: () => boolean): Promise<void> {
    if (isTrue()) return
    await new Promise<void>((resolve) => {
      const check = () => {
        if (!isTrue()) return
        this.#waiters.delete(check)
        resolve()
      }
      this.#waiters.add(check)
    })
  }

  #wake(): void {
    for (const waiter of this.#waiters) waiter()
  }
}

export const readyLine = 'awaitvm guest ready\r\n'

/** A machine in this thread, disposed of at the end of the scope. */
export class TestMachine implements AsyncDisposable {
  readonly machine: Machine
  readonly log: MachineLog

  private constructor(machine: Machine, log: MachineLog) {
    this.machine = machine
    this.log = log
  }

  static async load(spec: Partial<MachineSpec> = {}): Promise<TestMachine> {
    const log = new MachineLog()
    const full: MachineSpec = { memoryMiB: 16, boot: { kind: 'guest' }, ...spec }
    return new TestMachine(await Machine.load(full, await emulatorCode(), log.events), log)
  }

  /** With the built-in guest at its ready line. */
  static async boot(spec: Partial<MachineSpec> = {}): Promise<TestMachine> {
    const test = await TestMachine.load(spec)
    await test.machine.start()
    await test.log.untilOutput(readyLine)
    return test
  }

  /** Types a command, and waits for what the guest answers. */
  async command(text: string, answer: string): Promise<void> {
    const offset = this.log.output.length
    await this.machine.sendSerial(Buffer.from(`${text}\r`))
    await this.log.untilOutput(answer, offset)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine.dispose()
  }
}
