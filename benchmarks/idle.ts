/** How much of a processor does an idle Debian take on the embedded host, compared with v86 used directly? */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'
import { ask } from './support/child.js'
import { compare, report, valueAtMost } from './support/figure.js'

const script = join(dirname(fileURLToPath(import.meta.url)), 'idle-guest.js')
const percents = async (side: 'embedded' | 'v86'): Promise<number[]> =>
  v.parse(v.array(v.number()), await ask(script, side))

const samples = { 'idle Debian, embedded': await percents('embedded'), 'idle Debian, v86': await percents('v86') }
report([compare(samples, 'idle Debian, embedded', 'idle Debian, v86', '% of a core', valueAtMost(5))])
