import type { DriverOperations } from '../../driver/driver.js'
import { NotSupportedError, ProtocolError } from '../../errors.js'
import { keyChords } from '../../keyboard/key-chords.js'
import { chordScancodes } from '../../keyboard/scancodes.js'
import type { KeyCode } from '../../model/keys.js'
import { domainOf, type LibvirtHost } from './libvirt-host.js'
import type { LibvirtWork } from './libvirt-work.js'

/** `VIR_KEYCODE_SET_QNUM`: scancodes of set 1, with the highest bit set instead of the prefix 0xe0. */
const scancodeSet = 9

/** Milliseconds that each key is held: long enough for a guest to notice it. */
const heldMs = 20

/** Enough for the picture of a large screen. */
const maxImageBytes = 64 * 2 ** 20

/** Pictures of the screen, and keys. */
export const screenOperations = (host: LibvirtHost, work: LibvirtWork): DriverOperations => ({
  'vm.screenshot': ({ vm }, task) => work.queryInState(task, vm, () => screenshot(host, vm)),
  'vm.sendKeys': ({ vm, keys }, task) =>
    work.change(task, vm, async (_record, send) => {
      const chords = keyChords(keys).map((chord) => chord.map(codeOf))
      send()
      for (const keycodes of chords) {
        const keystroke = { codeset: scancodeSet, holdtime: heldMs, keycodes, flags: 0 }
        await host.pool.callLong('domain_send_key', { dom: domainOf(vm), ...keystroke })
      }
    }),
})

async function screenshot(host: LibvirtHost, vm: string): Promise<Uint8Array> {
  const { answer, stream } = await host.pool.openStream('domain_screenshot', { dom: domainOf(vm), screen: 0, flags: 0 })
  try {
    const pieces: Buffer[] = []
    let bytes = 0
    for await (const piece of stream as AsyncIterable<Buffer>) {
      bytes += piece.length
      if (bytes > maxImageBytes) throw new ProtocolError({ reason: 'libvirt sent a picture of more than 64 MiB' })
      pieces.push(piece)
    }
    if (answer.mime === 'image/png') return Buffer.concat(pieces)
  } finally {
    stream.destroy()
  }
  throw new NotSupportedError({
    capability: 'vm.screenshot',
    reason: `this host sends pictures as ${answer.mime ?? 'unknown data'}`,
    hint: 'QEMU 7.1 and later send PNG.',
  })
}

function codeOf(key: KeyCode): number {
  const [first = 0, second = 0] = chordScancodes([key])
  return first === 0xe0 ? second | 0x80 : first
}
