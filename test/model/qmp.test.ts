import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test, type TestContext } from 'vitest'
import { builtInGuest } from '../../src/drivers/embedded/machine/guest.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { qemusIn } from '../support/qemu-processes.js'
import { playAtRandom } from './play-at-random.js'
import { QmpModelHost } from './qmp-host.js'
import { Strangers } from './strangers.js'

/** Some half a minute for each. */
const operations = Number(process.env['AWAITVM_QMP_OPERATIONS'] ?? 500)

async function play(context: TestContext, hasSecond: boolean): Promise<void> {
  skipWithout(context, missingQemu)
  const folder = await mkdtemp(join(tmpdir(), 'awaitvm-model-'))
  const kernel = join(folder, 'guest.bin')
  await writeFile(kernel, builtInGuest())
  let runs = 0
  const strangers: Strangers[] = []
  const open = async (): Promise<QmpModelHost> => {
    runs += 1
    const directory = join(folder, String(runs))
    const uri = pathToFileURL(directory).href.replace('file:', 'qmp:')
    strangers.push(await Strangers.settle(uri, directory))
    return QmpModelHost.open(uri, kernel, hasSecond)
  }
  try {
    await playAtRandom({ operations, stepsPerRun: 50, isAsItCame: true, open })
    expect(await qemusIn(folder)).toEqual([])
    for (const { differences } of strangers) expect(differences.now).toEqual(differences.before)
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
