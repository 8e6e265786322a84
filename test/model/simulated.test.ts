import { test } from 'vitest'
import { playAtRandom } from './play-at-random.js'
import { SimulatedModelHost } from './simulated-host.js'

/** A million with `npm run test:model`. */
const operations = Number(process.env['AWAITVM_MODEL_OPERATIONS'] ?? 30_000)

test(
  `${operations.toLocaleString('en')} random operations, with troubles, do what the reference does`,
  {
    timeout: 3_600_000,
  },
  async () => {
    let seed = 0
    await playAtRandom({ operations, stepsPerRun: 200, open: async () => new SimulatedModelHost((seed += 1)) })
  },
)
