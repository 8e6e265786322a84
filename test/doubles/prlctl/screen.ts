import { writeFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { crc32, deflateSync } from 'node:zlib'
import { type Command, failing, lookUp } from './command.js'
import { Failure, texts } from './messages.js'
import { print, terminal } from './terminal.js'

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), data])
  const frame = Buffer.alloc(4)
  frame.writeUInt32BE(data.length)
  const check = Buffer.alloc(4)
  check.writeUInt32BE(crc32(body))
  return Buffer.concat([frame, body, check])
}

/** A black screen, as PNG. */
function blackScreen(width: number, height: number): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 0], 8)
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.alloc((width + 1) * height))),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

export const capture: Command = {
  takesId: 'always',
  options: { '--file': true },
  run({ dispatcher, id, options }) {
    const path = options.get('--file')?.[0] ?? ''
    const isDesktop = dispatcher.knobs.flavour === 'desktop'
    const machine = dispatcher.transact((registry) => lookUp(registry, id))
    print('Capture the VM screen...\n')
    failing('capture the VM screen', () => {
      if (machine.state !== 'running' && machine.state !== 'paused') throw new Failure(texts.ioStopped())
    })
    writeFileSync(path, blackScreen(640, 480))
    print(isDesktop ? `The VM screen is stored in ${path}.\n` : 'The screenshot has been saved.\n')
  },
}

interface KeyEvent {
  readonly key: number
  readonly event: 'press' | 'release'
}

/** The SDK's codes of the keys that the guest of the double knows. */
const names: Record<number, string> = {
  10: 'Digit1',
  36: 'Enter',
  37: 'ControlLeft',
  38: 'KeyA',
  50: 'ShiftLeft',
  52: 'KeyZ',
  56: 'KeyB',
  64: 'AltLeft',
  67: 'F1',
  107: 'Delete',
}

export const sendKeyEvent: Command = {
  takesId: 'always',
  options: { '-j': false, '--json': false },
  onlyOn: 'desktop',
  async run({ dispatcher, id }) {
    const events = JSON.parse(await text(terminal().stdin)) as KeyEvent[]
    failing('send key events', () =>
      dispatcher.transact((registry) => {
        const machine = lookUp(registry, id)
        if (machine.state !== 'running') throw new Failure(texts.notStarted())
        for (const { key, event } of events) {
          if (event === 'press') machine.guest.keys.push(names[key] ?? `key ${String(key)}`)
        }
      }),
    )
  },
}
