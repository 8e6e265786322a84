import { randomUUID } from 'node:crypto'
import type { KeyCode, VmSpec } from 'awaitvm'
import type { ConsoleReader } from '../support/console-reader.js'
import type { GuestProfile } from './host.js'

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

/** awaitvm's own guest (guest.S), which many hosts can boot: its commands, and what it answers. */
export function serialGuest(specs: {
  readonly spec: Omit<VmSpec, 'name'>
  readonly specWithDisk: Omit<VmSpec, 'name'>
}): GuestProfile {
  // A line of its own before each command: its echo tells where, after all that was said before, the answer begins.
  const command = async (console: ConsoleReader, line: string): Promise<void> => {
    const mark = `#${randomUUID().slice(0, 8)}`
    await console.ask(mark, `${mark}\r\n`)
    console.send(line)
  }
  const ask = async (console: ConsoleReader, line: string, answer: RegExp): Promise<string> => {
    await command(console, line)
    return (await console.until(answer))[1]!
  }
  // The guest counts lines, and each command is two of them.
  const count = async (console: ConsoleReader): Promise<number> =>
    Number(await ask(console, 'count', /lines (\d+)\r\n/)) / 2
  const disk = async (console: ConsoleReader, line: string): Promise<number> =>
    Number.parseInt(await ask(console, line, /disk ([0-9A-F]{2})\r\n/), 16)
  return {
    ...specs,
    readyLine: 'awaitvm guest ready\r\n',
    poweringOffLine: 'powering off\r\n',
    count,
    countLine: (counted) => `lines ${2 * counted}\r\n`,
    linesPerCommand: 2,
    powerOff(console) {
      console.send('off')
    },
    reboot(console) {
      console.send('reboot')
    },
    crash(console) {
      console.send('fault')
    },
    async ignorePowerButton(console) {
      await command(console, 'deaf')
      await count(console)
    },
    async refusePowerButton(console) {
      await command(console, 'slow')
      await count(console)
      return 'not now\r\n'
    },
    async writeDisk(console, byte) {
      await disk(console, `write ${byte.toString(16).padStart(2, '0')}`)
    },
    async readDisk(console) {
      return await disk(console, 'read')
    },
    keyLine(key) {
      const code = makeCodes[key]
      if (code === undefined) throw new Error(`Add the make code of ${key}`)
      return `key ${code}\r\n`
    },
  }
}
