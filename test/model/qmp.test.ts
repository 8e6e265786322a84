import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, type TestContext } from 'vitest'
import { builtInGuest } from '../../src/drivers/embedded/machine/guest.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { qemusIn } from '../support/qemu-processes.js'
import { playAtRandom } from './play-at-random.js'
import { QmpModelHost } from './qmp-host.js'
import { amongStrangers } from './strangers.js'

/** Each run takes about half a minute. */
const operations = Number(process.env['AWAITVM_QMP_OPERATIONS'] ?? 500)

async function play(context: TestContext, hasSecond: boolean): Promise<void> {
  skipWithout(context, missingQemu)
  const folder = await mkdtemp(join(tmpdir(), 'awaitvm-model-'))
  const kernel = join(folder, 'guest.bin')
  await writeFile(kernel, builtInGuest())
  try {
    await amongStrangers('qmp', folder, (newUri) =>
      playAtRandom({
        operations,
        stepsPerRun: 50,
        isAsItCame: true,
        open: async () => QmpModelHost.open(await newUri(), kernel, hasSecond),
      }),
    )
    expect(await qemusIn(folder)).toEqual([])
  } finally {
    await rm(folder, { recursive: true, maxRetries: 3 })
  }
}

const title = `${operations.toLocaleString('en')} random operations on QEMU`

test(`${title} do what the reference does`, { timeout: 3_600_000 }, async (context) => {
  await play(context, false)
})

test(`${title}, by two connections at once, do what the reference does`, { timeout: 3_600_000 }, async (context) => {
  await play(context, true)
})
