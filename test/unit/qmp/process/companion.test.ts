import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { companionFiles, isCompanionFile } from '../../../../src/drivers/qmp/process/companion-files.js'
import {
  endCompanions,
  endLeftCompanions,
  killStarted,
  lackOf,
  startCompanions,
  type CompanionPlan,
} from '../../../../src/drivers/qmp/process/companion.js'
import { isAlive } from '../../../../src/registry/process-identity.js'
import { missingTools, skipWithout } from '../../../support/optional-tool.js'
import { processesIn } from '../../../support/qemu-processes.js'

const never = new AbortController().signal

const planOf = (name: string): CompanionPlan => {
  const { socket, pid } = companionFiles(name)
  return {
    name,
    commandLine: [
      'swtpm',
      ...['socket', '--tpm2', '--tpmstate', 'dir=.,mode=0600', '--ctrl', `type=unixio,path=${socket}`],
      ...['--pid', `file=${pid}`, '--terminate'],
    ],
    ready: { file: pid, text: /\d/ },
  }
}
const { socket, pid, log } = companionFiles('tpm')
const swtpm = planOf('tpm')
const node = (program: string): CompanionPlan => ({
  ...planOf('other'),
  commandLine: [process.execPath, '-e', program],
})

let folder = ''
beforeEach((context) => {
  skipWithout(context, missingTools('swtpm'))
  folder = mkdtempSync(join(tmpdir(), 'awaitvm-companion-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

test('it listens when it is started, for this user only, and is told of once it has ended', async () => {
  const started = await startCompanions(folder, [swtpm], never)
  expect(statSync(join(folder, socket)).mode & 0o777).toBe(0o600)
  expect(lackOf(folder, started)).toBeUndefined()
  const connection = createConnection(join(folder, socket))
  await once(connection, 'connect')
  connection.destroy()
  await killStarted(started)
  expect(started.map(({ process }) => isAlive(process, folder))).toEqual([false])
  expect(lackOf(folder, started)?.message).toContain('tpm has ended')
  expect([socket, pid, log].every(isCompanionFile)).toBe(true)
})

test('one that does not start is quoted, and the others are ended', async () => {
  const other = { ...planOf('other'), commandLine: ['swtpm', 'socket', '--tpm2', '--ctrl', 'type=nonsense'] as const }
  await expect(startCompanions(folder, [swtpm, other], never)).rejects.toThrow(/nonsense/)
  await expect(startCompanions(folder, [{ ...swtpm, commandLine: ['/nowhere/swtpm'] }], never)).rejects.toMatchObject({
    code: 'HOST_TOOL_NOT_FOUND',
  })
  await expect(startCompanions(folder, [node('process.exit(3)')], never)).rejects.toThrow('node ended with 3')
  expect(await processesIn(folder, /swtpm|node/)).toEqual([])
})

test('a start that is cancelled leaves none', async () => {
  const cancel = new AbortController()
  const starting = startCompanions(folder, [swtpm, node('setInterval(() => 1, 1000)')], cancel.signal)
  cancel.abort(new Error('cancelled'))
  await expect(starting).rejects.toThrow('cancelled')
  expect(await processesIn(folder, /swtpm|node/)).toEqual([])
})

test('one that does not end with its QEMU is ended', async () => {
  const started = await startCompanions(folder, [swtpm], never)
  for (const { process: left } of started) process.kill(left.pid, 'SIGSTOP')
  await endCompanions(folder, started)
  expect(started.map(({ process: left }) => isAlive(left, folder))).toEqual([false])
})

test('one without a QEMU is found by its folder; other programs there, and swtpm elsewhere, are left alone', async () => {
  const elsewhere = mkdtempSync(join(tmpdir(), 'awaitvm-companion-'))
  const ownSocket = ['socket', '--tpm2', '--tpmstate', 'dir=.', '--ctrl', 'type=unixio,path=own.sock', '--terminate']
  const decoys = [
    spawn(process.execPath, ['-e', 'setInterval(() => 1, 1000)', socket], { cwd: folder, argv0: 'swtpm' }),
    spawn('swtpm', ownSocket, { cwd: elsewhere }),
  ]
  const another = mkdtempSync(join(tmpdir(), 'awaitvm-companion-'))
  const others = await startCompanions(another, [swtpm], never)
  const left = await startCompanions(folder, [swtpm], never)
  await endLeftCompanions(folder)
  expect(left.map(({ process }) => isAlive(process, folder))).toEqual([false])
  for (const decoy of decoys) expect([decoy.exitCode, decoy.signalCode]).toEqual([null, null])
  expect(others.map(({ process }) => isAlive(process, another))).toEqual([true])
  for (const decoy of decoys) decoy.kill('SIGKILL')
  await killStarted(others)
  for (const left of [elsewhere, another]) rmSync(left, { recursive: true })
})
