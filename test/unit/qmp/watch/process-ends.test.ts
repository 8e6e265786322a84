import { expect, test } from 'vitest'
import { ProcessEnds } from '../../../../src/drivers/qmp/watch/process-ends.js'
import { identityOf, type ProcessIdentity } from '../../../../src/registry/process-identity.js'

const own = identityOf(process.pid, false)
const parent = identityOf(process.ppid, false)

/** Processes that are alive until a test ends them, and the names of those whose end was reported. */
function watched() {
  const alive = new Set<ProcessIdentity>([own, parent])
  const ends = new ProcessEnds((process) => alive.has(process))
  const told: string[] = []
  const until = async (process: ProcessIdentity, name: string): Promise<void> => {
    await ends.until(process)
    told.push(name)
  }
  return { alive, ends, told, until }
}

test('the end of a process is reported to all who wait for it, and only to them', async () => {
  const { alive, ends, told, until } = watched()
  const waiting = [until(own, 'one'), until(own, 'two')]
  const other = until(parent, 'other')
  ends.tell()
  expect(ends.isDue).toBe(false)
  alive.delete(own)
  expect(ends.isDue).toBe(true)
  ends.tell()
  await Promise.all(waiting)
  expect(told).toEqual(['one', 'two'])
  expect(ends.isDue).toBe(false)
  ends.close()
  await other
})

test('a close ends the waiting for processes that are alive', async () => {
  const { ends, told, until } = watched()
  const waiting = until(own, 'one')
  ends.close()
  await waiting
  expect(told).toEqual(['one'])
})
