import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { builtInGuest } from '../../src/drivers/embedded/machine/guest.js'
import { missingTools, skipWithout } from '../support/optional-tool.js'
import { qemusIn } from '../support/qemu-processes.js'
import { playAtRandom } from './play-at-random.js'
import { QmpModelHost } from './qmp-host.js'

const { AWAITVM_QMP_OPERATIONS: wanted } = process.env
const operations = Number(wanted ?? 1000)

test(
  `${operations.toLocaleString('en')} random operations on QEMU do what the reference does`,
  {
    timeout: 3_600_000,
  },
  async (context) => {
    if (wanted === undefined)
      context.skip(
        'AWAITVM_QMP_OPERATIONS says how many: on a busy machine, the reference does not explain every run yet',
      )
    skipWithout(context, missingTools('qemu-system-x86_64', 'qemu-img'))
    const folder = await mkdtemp(join(tmpdir(), 'awaitvm-model-'))
    const kernel = join(folder, 'guest.bin')
    await writeFile(kernel, builtInGuest())
    let runs = 0
    const open = (): Promise<QmpModelHost> => {
      runs += 1
      return QmpModelHost.open(pathToFileURL(join(folder, String(runs))).href.replace('file:', 'qmp:'), kernel)
    }
    try {
      await playAtRandom({ operations, stepsPerRun: 50, isAsItCame: true, open })
      expect(await qemusIn(folder)).toEqual([])
    } finally {
      await rm(folder, { recursive: true, maxRetries: 3 })
    }
  },
)
