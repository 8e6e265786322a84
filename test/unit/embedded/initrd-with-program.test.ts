import { describe, expect, test } from 'vitest'
import { withGuestProgram } from '../../../src/drivers/embedded/guest-program/initrd-with-program.js'

const gzip = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0)

/** The target of the link to init. */
const initOf = (archive: Uint8Array): string | undefined =>
  /awaitvm-init\0+([^\0]+)\0*070701/.exec(Buffer.from(archive).toString('latin1'))?.[1]

describe('a Linux boots with the guest program', () => {
  test.each([
    [undefined, 'rdinit=/awaitvm-guest', '/init'],
    ['console=ttyS0 quiet', 'rdinit=/awaitvm-guest console=ttyS0 quiet', '/init'],
    ['quiet rdinit=/bin/sh single', 'quiet rdinit=/awaitvm-guest single', '/bin/sh'],
    ['rdinit=/a b rdinit=/c d', 'rdinit=/a b rdinit=/awaitvm-guest d', '/c'],
    ['nordinit=/a', 'rdinit=/awaitvm-guest nordinit=/a', '/init'],
  ])('%s', (before, after, init) => {
    const boot = withGuestProgram(gzip, before)
    expect(boot?.commandLine).toBe(after)
    expect(boot && initOf(boot.addedArchive)).toBe(init)
    expect((boot?.addedArchive.byteLength ?? 1) % 4).toBe(0)
  })

  test('but not from an image of a file system', () => {
    expect(withGuestProgram(new Uint8Array(2048), 'root=/dev/ram0')).toBeUndefined()
  })
})
