import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { readFileSync } from 'node:fs'
import { beforeEach, expect, test, vi } from 'vitest'
import { isAbandonedDraft, isDraft, newDraftName } from '../../../src/driver/draft-name.js'
import { ownIdentity } from '../../../src/registry/process-identity.js'

const machine = vi.hoisted((): { id: string | undefined } => ({ id: 'one' }))

vi.mock('node:os', async (original) => ({ ...(await original<object>()), hostname: () => 'localhost' }))
vi.mock('node:fs', async (original) => {
  const real = await original<{ readFileSync: typeof readFileSync }>()
  const read = (...words: Parameters<typeof readFileSync>): unknown => {
    if (words[0] !== '/etc/machine-id') return real.readFileSync(...words)
    if (machine.id === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
    return machine.id
  }
  return { ...real, readFileSync: read }
})

beforeEach(() => {
  machine.id = 'one'
})

/** The name of a draft of a process of this machine that has ended. */
async function nameOfEnded(): Promise<string> {
  const child = spawn('true')
  await once(child, 'exit')
  return newDraftName().replace(`-${String(ownIdentity(true).pid)}-`, `-${String(child.pid)}-`)
}

test.each(['one', undefined])('a draft is abandoned once its process has ended (machine id: %s)', async (id) => {
  machine.id = id
  const [own, ended] = [newDraftName(), await nameOfEnded()]
  expect([own, ended].map(isDraft)).toEqual([true, true])
  expect([own, ended].map(isAbandonedDraft)).toEqual([false, true])
})

test('a draft of another machine of the same name is not taken for an abandoned one', async () => {
  const ended = await nameOfEnded()
  machine.id = 'two'
  expect(isAbandonedDraft(ended)).toBe(false)
})
