import { randomUUID } from 'node:crypto'
import type { KeyCode } from '../../model/keys.js'
import type { Vm } from '../../vm.js'
import type { VmSpec } from '../../model/vm-spec.js'
import { ConsoleReader } from './console-reader.js'
import type { Guest, GuestProfile } from './guest.js'

/** Set 1 make codes of the keys that the cases press. */
const makeCodes: Partial<Record<KeyCode, string>> = {
  KeyA: '1E',
  KeyB: '30',
  KeyZ: '2C',
  Digit1: '02',
  ShiftLeft: '2A',
  ControlLeft: '1D',
  AltLeft: '38',
  Enter: '1C',
  F1: '3B',
}

/** awaitvm's own guest (guest.S) on the serial console: its commands, and what it answers. */
export class SerialGuest implements Guest {
  readonly console: ConsoleReader
  /** Its output once it has booted. */
  readonly readyLine = 'awaitvm guest ready\r\n'
  /** Its output when it shuts down on request. */
  readonly poweringOffLine = 'powering off\r\n'
  /** Number of lines that it reads for each count. */
  readonly linesPerCommand = 2

  constructor(vm: Vm) {
    this.console = new ConsoleReader(vm.console())
  }

  async untilReady(): Promise<void> {
    await this.console.until(this.readyLine)
  }

  async count(): Promise<number> {
    return Number(await this.#ask('count', /lines (\d+)\r\n/)) / this.linesPerCommand
  }

  /** Its output at that count. */
  countLine(counted: number): string {
    return `lines ${this.linesPerCommand * counted}\r\n`
  }

  async powerOff(): Promise<void> {
    this.console.send('off')
  }

  async reboot(): Promise<void> {
    this.console.send('reboot')
  }

  async crash(): Promise<void> {
    this.console.send('fault')
  }

  async ignorePowerButton(): Promise<void> {
    await this.#command('deaf')
    await this.count()
  }

  async refusePowerButton(): Promise<() => Promise<void>> {
    await this.#command('slow')
    await this.count()
    return async () => {
      await this.console.until('not now\r\n')
    }
  }

  async hasShutDown(): Promise<boolean> {
    return this.console.text.includes(this.poweringOffLine)
  }

  async writeDisk(byte: number): Promise<void> {
    await this.#askDisk(`write ${byte.toString(16).padStart(2, '0')}`)
  }

  async readDisk(): Promise<number> {
    return await this.#askDisk('read')
  }

  async untilKey(key: KeyCode): Promise<void> {
    await this.console.until(keyLine(key))
  }

  async hasSeenKey(key: KeyCode): Promise<boolean> {
    return this.console.text.includes(keyLine(key))
  }

  async untilGone(): Promise<Error | undefined> {
    return await this.console.untilClosed()
  }

  close(): void {
    this.console.close()
  }

  /** Sends a marker line before the command: its echo separates earlier output from the answer. */
  async #command(line: string): Promise<void> {
    const mark = `#${randomUUID().slice(0, 8)}`
    await this.console.ask(mark, `${mark}\r\n`)
    this.console.send(line)
  }

  async #ask(line: string, answer: RegExp): Promise<string> {
    await this.#command(line)
    return (await this.console.until(answer))[1]!
  }

  async #askDisk(line: string): Promise<number> {
    return Number.parseInt(await this.#ask(line, /disk ([0-9A-F]{2})\r\n/), 16)
  }
}

/** awaitvm's own guest on the serial console, for hosts whose VMs boot it if they are made from these specs. */
export const serialGuest = (specs: {
  readonly spec: Omit<VmSpec, 'name'>
  readonly specWithDisk: Omit<VmSpec, 'name'>
}): GuestProfile => ({ ...specs, needs: ['vm.console'], talkTo: (vm) => new SerialGuest(vm) })

function keyLine(key: KeyCode): string {
  const code = makeCodes[key]
  if (code === undefined) throw new Error(`Add the make code of ${key}`)
  return `key ${code}\r\n`
}
