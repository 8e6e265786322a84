import { execFileSync } from 'node:child_process'
import { link, mkdir, mkdtemp, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ByteReader } from '../../../src/files/byte-reader.js'
import { tarEnd, tarHeader, tarPadding, type TarEntry } from '../../../src/files/tar-header.js'
import { TarReader } from '../../../src/files/tar-reader.js'
import { missingTools, skipWithout } from '../../support/optional-tool.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-tar-'))
})
afterEach(() => rm(folder, { recursive: true }))

/** In pieces of some length, as a stream has them. */
async function* pieces(bytes: Buffer, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length)
}

async function entriesOf(archive: Buffer, length = 1000): Promise<(TarEntry & { content: string })[]> {
  const tar = new TarReader(new ByteReader(pieces(archive, length)))
  const entries = []
  for (let entry = await tar.next(); entry !== undefined; entry = await tar.next()) {
    let content = ''
    // What is not read is skipped.
    if (entry.size < 100) for await (const piece of tar.content()) content += piece.toString()
    entries.push({ ...entry, content })
  }
  await tar.finish()
  return entries
}

const long = 'l'.repeat(99)

test.for([
  ['tar', ['--format=gnu']],
  ['tar', ['--format=oldgnu']],
  ['tar', ['--format=pax']],
  ['tar', ['--format=ustar']],
  ['busybox', []],
] as const)('an archive by %s %s is read', async ([tool, options], context) => {
  if (tool === 'busybox') skipWithout(context, missingTools(tool))
  const isShort = options.some((option) => option.endsWith('ustar'))
  const deep = `${long}/${isShort ? 'd' : long}`
  await mkdir(join(folder, deep), { recursive: true })
  await writeFile(join(folder, deep, 'file'), 'content', { mode: 0o640 })
  await writeFile(join(folder, 'ünï'), 'x'.repeat(2000))
  await link(join(folder, 'ünï'), join(folder, 'z-hard'))
  await symlink(isShort ? 'target' : long.repeat(3), join(folder, 'z-soft'))
  for (const name of [join(deep, 'file'), 'ünï']) await utimes(join(folder, name), 1_000_000_000.5, 1_000_000_000.5)
  const words = [
    ...(tool === 'busybox' ? ['tar'] : []),
    ...options,
    '-cf',
    '-',
    '-C',
    folder,
    `./${long}`,
    './ünï',
    './z-hard',
    './z-soft',
  ]
  const entries = await entriesOf(execFileSync(tool, words))
  expect(entries.map(({ path }) => path.replace(/\/$/, ''))).toEqual([
    `./${long}`,
    `./${deep}`,
    `./${deep}/file`,
    './ünï',
    './z-hard',
    './z-soft',
  ])
  expect(entries[0]).toMatchObject({ type: 'directory' })
  expect(entries[2]).toMatchObject({ type: 'file', mode: 0o640, mtime: 1_000_000_000, size: 7, content: 'content' })
  expect(entries[3]).toMatchObject({ type: 'file', size: 2000 })
  expect(entries[4]).toMatchObject({ type: 'link', target: './ünï', size: 0 })
  expect(entries[5]).toMatchObject({ type: 'symlink', target: isShort ? 'target' : long.repeat(3) })
})

test('any entry is read as it was written, in pieces of any length', async () => {
  const path = fc.stringMatching(/^[a-zäß ]{1,300}$/)
  const common = {
    path,
    mode: fc.integer({ min: 0, max: 0o7777 }),
    mtime: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
    size: fc.constant(0),
  }
  const entry = fc.oneof(
    fc.record({ ...common, type: fc.constant('file' as const), size: fc.integer({ min: 0, max: 1500 }) }),
    fc.record({ ...common, type: fc.constant('directory' as const) }),
    fc.record({ ...common, type: fc.constantFrom('symlink' as const, 'link' as const), target: path }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(entry), fc.integer({ min: 1, max: 3000 }), async (entries, length) => {
      const parts = entries.flatMap((each) => [tarHeader(each), Buffer.alloc(each.size + tarPadding(each.size), 'x')])
      const read = await entriesOf(Buffer.concat([...parts, tarEnd()]), length)
      expect(read.map(({ content: _, ...rest }) => rest)).toEqual(
        entries.map((each) => ({ ...each, path: each.type === 'directory' ? `${each.path}/` : each.path })),
      )
    }),
    { numRuns: 60 },
  )
})

test('sizes of 8 GiB and more are written as GNU tar and busybox read them', async (context) => {
  skipWithout(context, missingTools('busybox'))
  const header = tarHeader({ type: 'file', path: 'large', mode: 0o644, mtime: 2 ** 34, size: 9 * 2 ** 30 })
  for (const list of [['tar'], ['busybox', 'tar']]) {
    const [tool = '', ...words] = list
    // The content is missing: what is listed before that counts.
    const listed = execFileSync('sh', ['-c', `${tool} ${words.join(' ')} -tvf - 2>/dev/null || :`], {
      input: header,
      encoding: 'utf8',
    })
    expect(listed).toMatch(/ 9663676416 2514-05-30 .* large\n/)
  }
  await writeFile(join(folder, 'large'), '')
  await truncate(join(folder, 'large'), 9 * 2 ** 30)
  const made = execFileSync('sh', ['-c', 'tar -cf - large | head -c 512'], { cwd: folder })
  expect(await new TarReader(new ByteReader(pieces(made, 512))).next()).toMatchObject({
    path: 'large',
    size: 9 * 2 ** 30,
  })
})
