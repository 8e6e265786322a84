import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'vitest'
import { EmbeddedModelHost } from './embedded-host.js'
import { playAtRandom } from './play-at-random.js'
import { amongStrangers } from './strangers.js'

test('2,000 random operations on VMs in memory do what the reference does', { timeout: 300_000 }, async () => {
  await playAtRandom({ operations: 2000, stepsPerRun: 100, open: () => EmbeddedModelHost.open('embedded:') })
})

test('300 random operations on VMs in a directory do what the reference does', { timeout: 300_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'awaitvm-model-'))
  try {
    await amongStrangers('embedded', directory, (newUri) =>
      playAtRandom({
        operations: 300,
        stepsPerRun: 50,
        open: async () => EmbeddedModelHost.open(await newUri()),
      }),
    )
  } finally {
    await rm(directory, { recursive: true })
  }
})
