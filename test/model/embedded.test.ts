import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { EmbeddedModelHost } from './embedded-host.js'
import { playAtRandom } from './play-at-random.js'
import { Strangers } from './strangers.js'

test('2,000 random operations on VMs in memory do what the reference does', { timeout: 300_000 }, async () => {
  await playAtRandom({ operations: 2000, stepsPerRun: 100, open: () => EmbeddedModelHost.open('embedded:') })
})

test('300 random operations on VMs in a directory do what the reference does', { timeout: 300_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'awaitvm-model-'))
  let runs = 0
  const strangers: Strangers[] = []
  const open = async (): Promise<EmbeddedModelHost> => {
    runs += 1
    const folder = join(directory, String(runs))
    const uri = pathToFileURL(folder).href.replace('file:', 'embedded:')
    strangers.push(await Strangers.settle(uri, folder))
    return EmbeddedModelHost.open(uri)
  }
  try {
    await playAtRandom({ operations: 300, stepsPerRun: 50, open })
    for (const { differences } of strangers) expect(differences.now).toEqual(differences.before)
  } finally {
    await rm(directory, { recursive: true })
  }
})
