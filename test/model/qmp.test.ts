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

/** On real machines each takes some 20 ms: more by AWAITVM_QMP_OPERATIONS. */
const operations = Number(process.env['AWAITVM_QMP_OPERATIONS'] ?? 300)

test(
  `${operations.toLocaleString('en')} random operations on QEMU do what the reference does`,
  {
    timeout: 3_600_000,
  },
  async (context) => {
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
      await playAtRandom({ operations, stepsPerRun: 50, open })
      expect(await qemusIn(folder)).toEqual([])
    } finally {
      await rm(folder, { recursive: true, maxRetries: 3 })
    }
  },
)
