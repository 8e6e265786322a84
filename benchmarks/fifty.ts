/** How long do 50 VMs take that are started at once, compared with 50 worker threads that each load their own v86? */
import { alternate, median } from './support/alternate.js'
import { boots } from './support/boots.js'
import { compare, ratioAtMost, report } from './support/figure.js'

const samples = await alternate(
  {
    '50 embedded VMs': async () => median(await boots('embedded', 50, 1)),
    '50 workers with v86': async () => median(await boots('workers', 50, 1)),
  },
  { rounds: 5, warmUps: 0 },
)
report([compare(samples, '50 embedded VMs', '50 workers with v86', 'ms', ratioAtMost(0.5))])
