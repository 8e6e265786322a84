import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { isoImage } from '../../../src/cloud-init/iso9660.js'
import { missingTools, skipWithout } from '../../support/optional-tool.js'

const sectorBytes = 2048

const files = new Map([
  ['meta-data', '"instance-id": "one"\n'],
  ['network-config', ''],
  ['user-data', `#cloud-config\n# ${'ü'.repeat(sectorBytes)}\n`],
  ['vendor-data', 'x'.repeat(sectorBytes)],
])

/** What a reader of ISO 9660 that trusts nothing finds in the tree of a volume descriptor. */
function readTree(image: Buffer, kind: 1 | 2): { readonly label: string; readonly files: Map<string, string> } {
  const text = (bytes: Buffer): string =>
    kind === 1 ? bytes.toString('ascii') : Buffer.from(bytes).swap16().toString('utf16le')
  const both32 = (at: number): number => {
    expect(image.readUInt32BE(at + 4)).toBe(image.readUInt32LE(at))
    return image.readUInt32LE(at)
  }
  let descriptor = 16 * sectorBytes
  while (image[descriptor] !== kind) {
    expect(image[descriptor]).not.toBe(255)
    descriptor += sectorBytes
  }
  expect(image.toString('ascii', descriptor + 1, descriptor + 6)).toBe('CD001')
  expect(both32(descriptor + 80) * sectorBytes).toBe(image.length)
  const root = both32(descriptor + 156 + 2)
  for (const [at, value] of [
    [140, image.readUInt32LE(descriptor + 140)],
    [148, image.readUInt32BE(descriptor + 148)],
  ] as const) {
    const table = value * sectorBytes
    expect(at === 140 ? image.readUInt32LE(table + 2) : image.readUInt32BE(table + 2)).toBe(root)
  }
  const found = new Map<string, string>()
  const end = root * sectorBytes + both32(descriptor + 156 + 10)
  for (let at = root * sectorBytes; at < end && image[at] !== 0; at += image[at]!) {
    expect(image[at]! % 2).toBe(0)
    const name = image.subarray(at + 33, at + 33 + image[at + 32]!)
    if (name.length === 1) continue
    const start = both32(at + 2) * sectorBytes
    found.set(text(name), image.toString('utf8', start, start + both32(at + 10)))
  }
  return { label: text(image.subarray(descriptor + 40, descriptor + 72)).trimEnd(), files: found }
}

test('a reader finds the label and the files, with their own names if it knows Joliet', () => {
  const image = Buffer.from(isoImage('cidata', files))
  expect(image.length % sectorBytes).toBe(0)
  expect(readTree(image, 2)).toEqual({
    label: 'cidata',
    files: new Map([...files].map(([name, content]) => [`${name};1`, content])),
  })
  expect(readTree(image, 1)).toEqual({
    label: 'cidata',
    files: new Map([...files].map(([name, content]) => [`${name.toUpperCase()}.;1`, content])),
  })
})

test('the same files give the same bytes', () => {
  expect(Buffer.compare(isoImage('cidata', files), isoImage('cidata', new Map(files)))).toBe(0)
  expect(Buffer.compare(isoImage('cidata', files), isoImage('other', files))).not.toBe(0)
})

test('isoinfo reads the same', (context) => {
  skipWithout(context, missingTools('isoinfo'))
  const folder = mkdtempSync(join(tmpdir(), 'awaitvm-iso-'))
  onTestFinished(() => {
    rmSync(folder, { recursive: true })
  })
  const image = join(folder, 'seed.iso')
  writeFileSync(image, isoImage('cidata', files))
  const isoinfo = (...args: string[]): string => execFileSync('isoinfo', [...args, '-i', image], { encoding: 'utf8' })
  expect(isoinfo('-d')).toMatch(/^Volume id: cidata$/m)
  for (const [name, content] of files) {
    expect(isoinfo('-J', '-x', `/${name};1`)).toBe(content)
    expect(isoinfo('-x', `/${name.toUpperCase()}.;1`)).toBe(content)
  }
})
