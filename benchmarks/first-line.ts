/**
 * How long does a VM of the embedded host take from `start` to its first line, compared with v86 used directly, without a thread?
 *
 * A script waits for the first VM of its process. Later on, v86 used directly runs code that is already warm, while each VM gets a new
 * thread with cold code.
 */
import { alternate, median } from './support/alternate.js'
import { boots } from './support/boots.js'
import { compare, ratioAtMost, report } from './support/figure.js'

const laterOnes = async (side: 'embedded' | 'v86'): Promise<number> => median((await boots(side, 1, 6)).slice(1))
const firstOne = async (side: 'embedded' | 'v86'): Promise<number> => median(await boots(side, 1, 1))

const samples = await alternate(
  {
    'first embedded VM': () => firstOne('embedded'),
    'first v86': () => firstOne('v86'),
    'later embedded VM': () => laterOnes('embedded'),
    'later v86': () => laterOnes('v86'),
  },
  { rounds: 9, warmUps: 1 },
)
report([
  compare(samples, 'first embedded VM', 'first v86', 'ms', ratioAtMost(1.3)),
  compare(samples, 'later embedded VM', 'later v86', 'ms'),
])
