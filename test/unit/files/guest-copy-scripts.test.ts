import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { receiveScript } from '../../../src/files/guest-copy-scripts.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-scripts-'))
})
afterEach(() => rm(folder, { recursive: true }))

function receive(path: string, mode: string, content: string, sum = sumOf(content)): number | null {
  const argv = ['-c', receiveScript, 'sh', path, 'number', mode, sum]
  return spawnSync('sh', argv, { cwd: folder, input: content }).status
}

const sumOf = (content: string): string => execFileSync('cksum', { input: content, encoding: 'utf8' }).trim()

test('a copy that fails leaves the file as it was, and no draft', async () => {
  await writeFile(join(folder, 'kept'), 'old')
  expect(receive('kept', '644', 'new', sumOf('other'))).toBe(3)
  expect(receive('fresh', 'no mode', 'new')).toBe(1)
  expect(await readdir(folder)).toEqual(['kept'])
  expect(await readFile(join(folder, 'kept'), 'utf8')).toBe('old')
})

test('a relative path, with any first character, names a file of the folder that the shell is in', async () => {
  for (const name of ['-x', '-n', '--', '*', ' a']) {
    for (const content of ['first', 'second']) {
      expect(receive(name, '640', content)).toBe(0)
      expect(await readFile(join(folder, name), 'utf8')).toBe(content)
    }
    expect((await stat(join(folder, name))).mode & 0o777).toBe(0o640)
  }
})

test.each(['0', '604', '660', '777', '4711', '2750', '4600', '6644'])(
  'a file of the permissions %s keeps them',
  async (mode) => {
    const path = join(folder, 'kept')
    await writeFile(path, 'old')
    execFileSync('chmod', [mode, path])
    expect(receive(path, '644', 'new')).toBe(0)
    expect(((await stat(path)).mode & 0o7777).toString(8)).toBe(mode)
  },
)
