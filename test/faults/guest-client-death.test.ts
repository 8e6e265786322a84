import { existsSync } from 'node:fs'
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { soon } from '../../src/testing/conformance/deadline.js'
import { Child } from '../support/child-process.js'
import { skipWithout } from '../support/optional-tool.js'
import { waysOnQemu } from '../support/ways-into-guests.js'
import { whatIsInGuest } from '../support/what-is-in-guest.js'

const timeout = 180_000

describe.each(waysOnQemu)('by $name', ({ name, missing, open: openGuest }) => {
  let unavailable: string | undefined
  let guest: Awaited<ReturnType<typeof openGuest>>

  beforeAll(async () => {
    unavailable = await missing()
    if (unavailable === undefined) guest = await openGuest()
  }, 300_000)
  afterAll(async () => {
    if (unavailable === undefined) await guest[Symbol.asyncDispose]()
  })
  beforeEach((context) => {
    skipWithout(context, unavailable)
  })

  const whatIsThere = (): Promise<string[]> => whatIsInGuest(guest.vm)

  /** Kills a process in the middle of its work in the guest. */
  async function killAt(work: string, here = '', there = ''): Promise<void> {
    await using child = new Child('guest-child.ts', [guest.host.uri, work, here, there])
    await child.printed('reached')
    await child.kill()
  }

  /** Soon, nothing is in the guest that was not there before. What an earlier test started may be gone since. */
  const expectNothingLeft = (before: readonly string[]): Promise<void> =>
    vi.waitFor(async () => expect((await whatIsThere()).filter((line) => !before.includes(line))).toEqual([]), soon)

  test.each([
    'programs that are being started',
    'a silent program',
    'a program as another user',
    'a program that prints',
    'a program that reads',
    // QEMU's agent gives programs none.
    ...(name === 'SSH' ? ['a program with a terminal'] : []),
    'a file that is written',
  ])('%s: nothing is left of a process that is killed, and others work on', { timeout }, async (work) => {
    const before = await whatIsThere()
    const other = guest.vm.guest.exec(['cat'], { stdin: 'pipe' })
    await killAt(work, '', '/root/written')
    other.stdin.end('unharmed')
    expect((await other.unwrap()).stdout).toBe('unharmed')
    await expectNothingLeft(before)
  })

  test.each(['file', 'folder'])(
    'a copy of a %s by a process that is killed leaves nothing',
    { timeout },
    async (kind) => {
      const here = join(guest.host.folder, kind)
      if (kind === 'folder') await mkdir(here)
      await using file = await open(kind === 'folder' ? join(here, 'big') : here, 'w')
      await file.truncate(2 ** 30)
      const before = await whatIsThere()
      await killAt('copyIn', here, '/root/copy')
      await expectNothingLeft(before)

      const [mkdirs, big] = kind === 'folder' ? ['mkdir /root/there &&', '/root/there/big'] : ['', '/root/there']
      await guest.vm.guest.exec(`${mkdirs} dd if=/dev/null of=${big} bs=1 seek=1073741824`, { check: true }).unwrap()
      const to = join(guest.host.folder, `${kind}-out`)
      await killAt('copyOut', to, '/root/there')
      await guest.vm.guest.rm('/root/there', { recursive: true }).unwrap()
      await expectNothingLeft(before)
      expect(existsSync(to)).toBe(false)
    },
  )
})
