import { readdir } from 'node:fs/promises'
import { describe, expect, test, vi } from 'vitest'
import { soon } from '../../src/testing/conformance/deadline.js'
import { openResources } from '../../src/testing/conformance/open-resources.js'
import { collectUntil } from '../support/garbage-collection.js'
import { skipWithout } from '../support/optional-tool.js'
import { waysIntoGuests } from '../support/ways-into-guests.js'
import { whatIsInGuest } from '../support/what-is-in-guest.js'

const timeout = 900_000

/** What is more now than before: connections that were idle may be gone. */
function added(before: readonly string[], now: readonly string[]): string[] {
  const left = [...before]
  return now.filter((line) => {
    const at = left.indexOf(line)
    if (at >= 0) left.splice(at, 1)
    return at < 0
  })
}

const mebibyte = 2 ** 20

/** Bytes of memory of this process, garbage included. */
function inUse(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

const openFiles = async (): Promise<number> => (await readdir('/proc/self/fd')).length

describe.each(waysIntoGuests)('by $name', ({ missing, isOwnGuest, open }) => {
  test('2,000 programs in sequence and 64 at once leave nothing, there or here', { timeout }, async (context) => {
    skipWithout(context, await missing())
    await using guest = await open()
    const { vm } = guest
    const echo = async (word: string): Promise<void> => {
      const { exitCode, stdout } = await vm.guest.exec(['echo', word]).unwrap()
      expect([exitCode, stdout]).toEqual([0, `${word}\n`])
    }
    // What a first program sets up may stay.
    await Promise.all(Array.from({ length: 64 }, (_, index) => echo(String(index))))
    const there = isOwnGuest ? await whatIsInGuest(vm) : []
    const [files, resources] = [await openFiles(), openResources()]
    for (let index = 0; index < 2000; index += 1) await echo(`program ${String(index)}`)
    await Promise.all(Array.from({ length: 64 }, (_, index) => echo(`at once ${String(index)}`)))
    if (isOwnGuest) await vi.waitFor(async () => expect(added(there, await whatIsInGuest(vm))).toEqual([]), soon)
    await vi.waitFor(async () => {
      expect(await openFiles()).toBeLessThanOrEqual(files)
      expect(added(resources, openResources())).toEqual([])
    }, soon)
  })

  test('256 MiB of output are streamed in bounded memory', { timeout }, async (context) => {
    skipWithout(context, await missing())
    await using guest = await open()
    const size = 256 * mebibyte
    const before = inUse()
    const program = guest.vm.guest.exec(['head', '-c', String(size), '/dev/zero'], { maxOutputBytes: 0 })
    let [length, unlooked] = [0, 0]
    for await (const chunk of program.stdout as AsyncIterable<Buffer>) {
      length += chunk.length
      unlooked += chunk.length
      if (unlooked < 32 * mebibyte) continue
      unlooked = 0
      expect(await collectUntil(() => inUse() - before < 32 * mebibyte)).toBe(true)
    }
    expect(length).toBe(size)
    expect((await program.unwrap()).exitCode).toBe(0)
  })
})
