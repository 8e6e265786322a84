import fc from 'fast-check'
import type { ModelHost } from './model-host.js'
import { Play } from './play.js'
import { steps } from './step.js'

interface Random {
  /** The least number of operations in all. */
  readonly operations: number
  readonly stepsPerRun: number
  /** Does not shrink a run that failed: on real VMs each try is slow, and may not fail again. */
  readonly isAsItCame?: boolean
  readonly open: () => Promise<ModelHost & AsyncDisposable>
}

/** The seed: the same each time unless `AWAITVM_MODEL_SEED` is another number, or `random`. A failure reports its seed. */
const { AWAITVM_MODEL_SEED: chosen = '1' } = process.env
const firstSeed = chosen === 'random' ? Date.now() % 2 ** 31 : Number(chosen)

/** Plays runs of random steps, each on a new host, until the number of operations is reached. A failure reports its seed and path. */
export async function playAtRandom({ operations, stepsPerRun, isAsItCame = false, open }: Random): Promise<void> {
  let played = 0
  const run = fc.asyncProperty(steps(stepsPerRun), async (sequence) => {
    await using host = await open()
    const play = new Play(host)
    try {
      await play.run(sequence)
    } finally {
      played += play.operations
    }
  })
  const { stackTraceLimit } = Error
  // Half of the jobs fail on purpose, and the stacks of their errors would take most of the time.
  Error.stackTraceLimit = 0
  try {
    for (let seed = firstSeed; played < operations; seed += 1) {
      await fc.assert(run, { seed, numRuns: 1, endOnFailure: isAsItCame })
    }
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}
