import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeOverlayOn, writeEmptyOverlay } from '../../../../src/drivers/qmp/disks/empty-overlay.js'
import { diskBytesOf, isUnwritten } from '../../../../src/drivers/qmp/disks/own-qcow2.js'
import { failureOf } from '../../../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

let folder: string
beforeEach(async (context) => {
  skipWithout(context, missingQemu)
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-overlay-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

const mebibyte = 2 ** 20
const img = (...args: readonly string[]): string => execFileSync('qemu-img', args, { encoding: 'utf8' })
const infoOf = (path: string): unknown => JSON.parse(img('info', '--output=json', '-f', 'qcow2', path))

test.for([1, 200, 1024, 700_000, 9_000_000])('an empty overlay of %d MiB is a sound qcow2 file', async (sizeMiB) => {
  const path = join(folder, 'overlay')
  await writeEmptyOverlay(path, sizeMiB * mebibyte)
  expect(infoOf(path)).toMatchObject({ format: 'qcow2', 'virtual-size': sizeMiB * mebibyte })
  expect(img('check', '-f', 'qcow2', path)).toContain('No errors')
  img('resize', '-q', '-f', 'qcow2', path, '+1G')
})

test.for([1.5, 3])('an overlay of %d MiB on a base is as qemu-img makes it', async (sizeMiB) => {
  const base = join(folder, 'base.qcow2')
  img('create', '-q', '-f', 'qcow2', base, '1536K')
  const path = join(folder, 'overlay')
  await makeOverlayOn(path, 'base.qcow2', sizeMiB * mebibyte)
  expect(infoOf(path)).toMatchObject({
    'virtual-size': sizeMiB * mebibyte,
    'backing-filename': 'base.qcow2',
    'full-backing-filename': base,
    'backing-filename-format': 'qcow2',
  })
  expect(img('check', '-f', 'qcow2', path)).toContain('No errors')
  expect(await diskBytesOf(path)).toBe(sizeMiB * mebibyte)
})

describe('whether a disk was ever written to', () => {
  test('not yet', async () => {
    img('create', '-q', '-f', 'qcow2', join(folder, 'base'), '600M')
    const path = join(folder, 'disk')
    img('create', '-q', '-f', 'qcow2', '-b', 'base', '-F', 'qcow2', path)
    expect(await isUnwritten(path)).toBe(true)
    await makeOverlayOn(join(folder, 'overlay'), 'base', 600 * mebibyte)
    expect(await isUnwritten(join(folder, 'overlay'))).toBe(true)
  })

  test.for(['write -P 7 599M 64K', 'write -z 599M 64K'])('%s', async (command) => {
    const path = join(folder, 'disk')
    img('create', '-q', '-f', 'qcow2', path, '600M')
    execFileSync('qemu-io', ['-f', 'qcow2', '-c', command, path])
    expect(await isUnwritten(path)).toBe(false)
  })

  test('what is no qcow2 file any more is refused', async () => {
    await using host = await QmpHost.open()
    const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
    const clone = await vm.clone({ name: 'linked', linked: true }).unwrap()
    const disk = (await readdir(host.folderOf(clone))).find((name) => name.startsWith('disk-')) ?? ''
    await writeFile(join(host.folderOf(clone), disk), Buffer.alloc(300_000, 1))
    const error = await failureOf(clone.clone({ name: 'another', linked: true }), 'PROTOCOL_ERROR')
    expect(error.message).toContain('is not a qcow2 file')
  })
})
