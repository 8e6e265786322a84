import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'awaitvm'
import { expect, test } from 'vitest'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'
import { qcow2Image } from '../images/qcow2-image.js'

test.each([
  ['a qcow2 image', qcow2Image({}), 'must be a raw image', 'qemu-img convert -O raw'],
  ['a qcow2 image upon another', qcow2Image({ backingOffset: 256n, backing: 'base' }), 'needs the backing', 'qemu-img'],
  ['a compressed image', Buffer.concat([Buffer.from('BZh91AY&SY'), Buffer.alloc(502)]), 'bzip2', 'bunzip2'],
  ['half a sector', Buffer.alloc(256), 'no multiple of 512', 'fetch or make it again'],
])('%s is refused as a disk, with a hint', async (_what, content, reason, hint) => {
  const folder = await mkdtemp(join(tmpdir(), 'awaitvm-hardware-'))
  try {
    const image = join(folder, 'image')
    await writeFile(image, content)
    await using server = await connect('embedded:').unwrap()
    const error = await failureOf(server.createVm({ name: 'web-1', disks: [{ image }] }), 'INVALID_ARGUMENT')
    expect(error.path).toBe('spec.disks[0].image')
    expect(error.message).toContain(reason)
    expect(error.hint).toContain(hint)
  } finally {
    await rm(folder, { recursive: true })
  }
})
