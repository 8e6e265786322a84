/** The guest's memory. */
export interface GuestMemory {
  /** The number of lines that it has read. */
  lines: number
  /** The line that is being typed. */
  line: string
  /** True if it ignores the power button. */
  isDeaf: boolean
  /** True if it acknowledges the power button but stays on. */
  staysOn: boolean
}

/** The hardware that the guest runs on. */
export interface GuestHardware {
  print(text: string): void
  /** The first byte of sector 1 of the first disk; `undefined` if there is no readable disk. */
  readDisk(): number | undefined
  /** Writes that byte. True if there is a disk. */
  writeDisk(byte: number): boolean
  powerOff(): void
  reset(): void
  crash(): void
}

export const readyLine = 'awaitvm guest ready\r\n'

const maxLineLength = 128

export const freshMemory = (): GuestMemory => ({ lines: 0, line: '', isDeaf: false, staysOn: false })

/** What a command does. `'gone'` if the guest does not run on to read the next byte. */
type Command = (memory: GuestMemory, hardware: GuestHardware) => 'gone' | undefined

const commands: Readonly<Record<string, Command>> = {
  help: print('help count off reboot halt fault deaf slow write XX read'),
  count: (memory, hardware) => print(`lines ${String(memory.lines)}`)(memory, hardware),
  off: (memory, hardware) => {
    powerOff(hardware)
    return 'gone'
  },
  reboot: (_memory, hardware) => {
    hardware.reset()
    return 'gone'
  },
  halt: (_memory, hardware) => {
    hardware.powerOff()
    return 'gone'
  },
  fault: (_memory, hardware) => {
    hardware.crash()
    return 'gone'
  },
  deaf: (memory) => {
    memory.isDeaf = true
    return undefined
  },
  slow: (memory) => {
    memory.staysOn = true
    return undefined
  },
  read: (memory, hardware) => print(diskLine(hardware.readDisk()))(memory, hardware),
  '': () => undefined,
}

function print(line: string): Command {
  return (_memory, hardware) => {
    hardware.print(`${line}\r\n`)
    return undefined
  }
}

function powerOff(hardware: GuestHardware): void {
  hardware.print('powering off\r\n')
  hardware.powerOff()
}

const diskLine = (byte: number | undefined): string => (byte === undefined ? 'no disk' : `disk ${hexByte(byte)}`)

const hexByte = (byte: number): string => byte.toString(16).toUpperCase().padStart(2, '0')

/**
 * Simulates awaitvm's own guest (the embedded host's guest.S): it echoes what is typed on the serial console, and obeys the same
 * commands.
 */
export function receive(text: string, memory: GuestMemory, hardware: GuestHardware): void {
  let echo = ''
  for (const character of text) {
    if (character !== '\r' && character !== '\n') {
      echo += character
      if (memory.line.length < maxLineLength) memory.line += character
      continue
    }
    hardware.print(`${echo}\r\n`)
    echo = ''
    memory.lines += 1
    const { line } = memory
    memory.line = ''
    if (commandOf(line)(memory, hardware) === 'gone') return
  }
  if (echo !== '') hardware.print(echo)
}

function commandOf(line: string): Command {
  if (Object.hasOwn(commands, line)) return commands[line] ?? print('?')
  const byte = /^write ([0-9a-f]{2})$/i.exec(line)?.[1]
  if (byte === undefined) return print('?')
  const value = Number.parseInt(byte, 16)
  return (memory, hardware) => print(diskLine(hardware.writeDisk(value) ? value : undefined))(memory, hardware)
}

/** Presses the power button: the guest powers off, acknowledges it and stays on, or ignores it. */
export function pressPowerButton(memory: GuestMemory, hardware: GuestHardware): 'off' | 'refused' | 'ignored' {
  if (memory.isDeaf) return 'ignored'
  if (memory.staysOn) {
    hardware.print('not now\r\n')
    return 'refused'
  }
  powerOff(hardware)
  return 'off'
}

/** Types scancodes of set 1: the guest prints each key that is pressed. */
export function typeScancodes(codes: readonly number[], hardware: GuestHardware): void {
  for (const code of codes) if ((code & 0x80) === 0) hardware.print(`key ${hexByte(code)}\r\n`)
}
