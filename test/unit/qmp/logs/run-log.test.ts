import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'awaitvm'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { cutLog, keptBytes } from '../../../../src/drivers/qmp/logs/cut-log.js'
import { RunLogReader, readLogTail } from '../../../../src/drivers/qmp/logs/run-log-reader.js'
import { announcedEnd } from '../../../../src/drivers/qmp/process/run-record.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

let folder = ''
let lastLine = 0
const readers: RunLogReader[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'awaitvm-log-'))
  lastLine = 0
  writeFileSync(path(), '')
})

afterEach(async () => {
  for (const reader of readers.splice(0)) await reader.close()
  rmSync(folder, { recursive: true })
})

const log = 'console.log'
const path = (): string => join(folder, log)

/** Numbered lines of 16 bytes, appended as QEMU appends. */
function print(lines: number): void {
  const first = lastLine + 1
  lastLine += lines
  appendFileSync(
    path(),
    Array.from({ length: lines }, (_, index) => `${String(first + index).padStart(15)}\n`).join(''),
  )
}

async function openReader(): Promise<RunLogReader> {
  const reader = await RunLogReader.open(folder, log)
  readers.push(reader)
  return reader
}

const linesOf = (bytes: number): number => bytes / 16

async function readAll(reader: RunLogReader): Promise<number[]> {
  const parts: Buffer[] = []
  for (;;) {
    const { bytes, lostBytes } = await reader.read()
    expect(lostBytes).toBe(0)
    if (bytes.byteLength === 0) break
    parts.push(bytes)
  }
  const text = Buffer.concat(parts).toString('latin1')
  return text === '' ? [] : text.trimEnd().split('\n').map(Number)
}

const consecutive = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index)

test('a log that is not longer than what is kept is not cut', async () => {
  print(linesOf(keptBytes))
  cutLog(folder, log)
  expect(readdirSync(folder)).toEqual([log])
  const reader = await openReader()
  expect(await readAll(reader)).toEqual(consecutive(1, lastLine))
})

test('after any number of cuts, a new reader begins at the first byte that is kept, and misses nothing after it', async () => {
  for (let round = 0; round < 5; round += 1) {
    print(linesOf(1.5 * keptBytes))
    cutLog(folder, log)
  }
  print(10)
  const reader = await openReader()
  expect(await readAll(reader)).toEqual(consecutive(lastLine - 10 - linesOf(keptBytes) + 1, lastLine))
  print(10)
  expect(await readAll(reader)).toEqual(consecutive(lastLine - 9, lastLine))
  const used = readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).blocks * 512, 0)
  expect(used).toBeLessThan(1.2 * keptBytes)
  expect(readdirSync(folder)).toHaveLength(2)
})

test('a reader at the end does not notice a cut', async () => {
  print(linesOf(2 * keptBytes))
  const reader = await openReader()
  expect(await readAll(reader)).toEqual(consecutive(1, lastLine))
  cutLog(folder, log)
  expect(await readAll(reader)).toEqual([])
  print(1)
  expect(await readAll(reader)).toEqual([lastLine])
})

test('a reader that is behind learns how much it has lost, continues at the first byte that is kept, and sees nothing twice', async () => {
  print(linesOf(3 * keptBytes))
  const reader = await openReader()
  const read = (await reader.read()).bytes.byteLength
  cutLog(folder, log)
  print(5)
  const { bytes, lostBytes } = await reader.read()
  expect(lostBytes).toBe(2 * keptBytes - read)
  const next = lastLine - 5 - linesOf(keptBytes) + 1 + linesOf(bytes.byteLength)
  expect(await readAll(reader)).toEqual(consecutive(next, lastLine))
})

test('a reader that has read nothing yet learns what was lost since it was opened, and no more', async () => {
  print(linesOf(2 * keptBytes))
  cutLog(folder, log)
  const reader = await openReader()
  print(linesOf(3 * keptBytes))
  cutLog(folder, log)
  expect((await reader.read()).lostBytes).toBe(3 * keptBytes)
})

test('a cut that a crash interrupted is finished by the next one', async () => {
  print(linesOf(2 * keptBytes))
  const reader = await openReader()
  await readAll(reader)
  cutLog(folder, log)
  // The log was truncated, but not extended to its former length.
  truncateSync(path(), 0)
  print(linesOf(2 * keptBytes) / 2 + 1)
  cutLog(folder, log)
  print(3)
  expect(await readAll(reader)).toEqual(consecutive(lastLine - 2, lastLine))
})

test('a kept part belongs to the log that it was cut from, and not to a later log of the same name', async () => {
  print(linesOf(2 * keptBytes))
  cutLog(folder, log)
  const before = await openReader()
  rmSync(path())
  writeFileSync(path(), 'anew\n')
  expect(await readLogTail(folder, log, 100)).toBe('anew\n')
  expect(await readAll(before)).toEqual(consecutive(linesOf(keptBytes) + 1, lastLine))
})

test('the last bytes, and the end of a QEMU, are found across a cut', async () => {
  const events = join(folder, 'events.log')
  const storm = '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESET", "data": {"guest": true}}\r\n'
  writeFileSync(events, storm.repeat(Math.ceil(keptBytes / storm.length)))
  appendFileSync(events, '{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}\r\n')
  cutLog(folder, 'events.log')
  expect(readdirSync(folder)).toHaveLength(3)
  expect(await announcedEnd(folder)).toBe('guest')
  appendFileSync(events, storm)
  expect(await announcedEnd(folder)).toBe('guest')
  expect(await readLogTail(folder, 'events.log', 10)).toMatch(/true\}\}\r\n$/)
})

test('without a log, nothing is cut', () => {
  rmSync(path())
  cutLog(folder, log)
  cutLog(join(folder, 'deleted'), log)
  expect(readdirSync(folder)).toEqual([])
})

test('what a guest has printed while nobody was connected is cut by the next connection', async (context) => {
  skipWithout(context, missingQemu)
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  await host.boot(vm)
  await host.server.close().unwrap()
  const file = join(host.folderOf(vm), log)
  appendFileSync(file, Buffer.alloc(8 * keptBytes, 'x'))
  const { size } = statSync(file)
  await using server = await connect(host.uri).unwrap()
  await server.getVm(vm.id).unwrap()
  const cut = statSync(file)
  expect([cut.size, cut.blocks]).toEqual([size, 0])
})
