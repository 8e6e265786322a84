import { randomUUID } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test, beforeEach, vi } from 'vitest'
import { soon } from '../../../src/testing/conformance/deadline.js'
import { AgentAbsentError } from '../../../src/guest-agent/agent-errors.js'
import { readIfThere, readlink } from '../../support/local-agent.js'
import { LocalGuest, shells, type Use } from '../../support/local-agent-guest.js'
import { missingFile, skipWithout } from '../../support/optional-tool.js'

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield await Promise.resolve(Buffer.alloc(65_536))
}

const never = new Promise<void>(() => undefined)

/** Scripts that don't end by themselves. They print the ids of processes, and a dot once they are under way. */
const endlessScripts = (): readonly (readonly [script: string, use?: Use])[] => [
  ['sleep 611 & echo $! $$ .; exec sleep 612'],
  ['setsid env -i sleep 613 & echo $! $$ .; wait'],
  ['head -c 70000 >/dev/null; echo $$ .; cat >/dev/null', { input: endless() }],
  ['echo $$ .; exec yes', { output: (text) => (text.length > 1000 ? never : undefined) }],
  ['trap "rm draft" EXIT; trap "exit 1" TERM; : >draft; echo $$ .; cat >draft', { input: endless() }],
]

/** The command lines of the processes that work in a folder, which may have been removed since. */
const processesIn = (folder: string): string[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && readlink(`/proc/${name}/cwd`).split(' ')[0] === folder)
    .map((name) => readIfThere(`/proc/${name}/cmdline`).replaceAll('\0', ' '))

/** Runs scripts in the folder until all are under way; then the agent is lost to the guest's client. Returns the ids of processes. */
async function abandon(guest: LocalGuest, folder: string, scripts = endlessScripts()): Promise<number[]> {
  const pids: number[] = []
  const programs: Promise<unknown>[] = []
  const begins = scripts.map(
    ([script, use = {}]) =>
      new Promise<void>((resolve) => {
        const output = (text: string): Promise<void> | void => {
          const [line] = text.split('.\n', 1)
          if (line !== text) resolve(void pids.push(...(line ?? '').trim().split(' ').map(Number)))
          return use.output?.(text)
        }
        programs.push(guest.run(['sh', '-c', script], { ...use, cwd: folder, output }))
      }),
  )
  await Promise.race([Promise.all(begins), Promise.all(programs)])
  guest.agent.failure = new AgentAbsentError()
  for (const program of programs) await expect(program).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
  return [...new Set(pids)]
}

describe.each(shells)('with $shell', ({ shell, path, debian }) => {
  beforeEach((context) => {
    skipWithout(context, missingFile(path, debian))
  })

  test('what a client that has ended has left is ended and removed by the next one', { timeout: 60_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'awaitvm-sweep-test-'))
    const client = randomUUID()
    await using first = new LocalGuest(shell, client)
    const left = Number((await first.run(['sh', '-c', 'sleep 614 & echo $!'])).stdout)
    const pids = await abandon(first, folder)
    expect(await readdir(folder)).toEqual(['draft'])

    await using second = new LocalGuest(shell, 'second')
    await second.run(['true'])
    for (const pid of pids) process.kill(pid, 0)
    await using third = new LocalGuest(shell, 'third')
    third.agent.ended.add(client)
    await third.run(['true'])
    await first.agent.untilQuiet()
    for (const pid of pids) await first.agent.untilGone(pid)
    expect(await readdir(folder)).toEqual([])
    // A process that a program has left, which has ended before, may stay.
    process.kill(left, 'SIGKILL')
    await rm(folder, { recursive: true })
  })

  test('a shell that its client has told something does not end by itself', { timeout: 60_000 }, async () => {
    await using guest = new LocalGuest(shell)
    await guest.run(['true'])
    const inShell = guest.agent.folders.flatMap(processesIn)
    expect(inShell).not.toEqual([])
    await vi.waitFor(() => expect(guest.agent.folders.flatMap(processesIn).join()).not.toMatch(/sleep/), soon)
  })
})

// The sleep of busybox is a part of its shell.
test.each(shells.filter(({ shell }) => !shell.startsWith('busybox')))(
  'a shell that its client has not heard of ends by itself, with $shell',
  { timeout: 60_000 },
  async ({ shell }) => {
    const folder = await mkdtemp(join(tmpdir(), 'awaitvm-sweep-test-'))
    // The minute passes at once.
    await writeFile(join(folder, 'sleep'), '#!/bin/sh\n', { mode: 0o755 })
    await using guest = new LocalGuest(`env PATH=${folder}:${process.env['PATH'] ?? ''} ${shell}`)
    guest.agent.lies = () => 'nothing'
    await expect(guest.run(['true'])).rejects.toMatchObject({ code: 'PROTOCOL_ERROR' })
    await vi.waitFor(() => expect(guest.agent.folders).toHaveLength(1), soon)
    await guest.agent.untilQuiet()
    await vi.waitFor(() => expect(guest.agent.folders.flatMap(processesIn)).toEqual([]), soon)
    await rm(folder, { recursive: true })
  },
)

test('a program that ignores SIGTERM is killed', { timeout: 60_000 }, async () => {
  const client = randomUUID()
  await using first = new LocalGuest('sh', client)
  const scripts = [['trap "" TERM; setsid sleep 615 & echo $! $$ .; while :; do sleep 616; done']] as const
  const pids = await abandon(first, '/', scripts)
  await using second = new LocalGuest('sh', 'second')
  second.agent.ended.add(client)
  await second.run(['true'])
  await first.agent.untilQuiet()
  for (const pid of pids) await first.agent.untilGone(pid)
})

test(
  'a client ends what it could not follow any more by itself, and no program that it follows',
  { timeout: 60_000 },
  async () => {
    await using guest = new LocalGuest('sh')
    const pids = await abandon(guest, '/', [['sleep 617 & echo $! $$ .; exec sleep 618']])
    const [lost = ''] = guest.agent.folders
    guest.agent.failure = undefined
    const { stdout } = await guest.run(['sh', '-c', 'while [ -e "$0" ]; do sleep 0.05; done; echo still here', lost])
    expect(stdout).toBe('still here\n')
    for (const pid of pids) await guest.agent.untilGone(pid)
  },
)
