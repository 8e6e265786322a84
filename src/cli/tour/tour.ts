import { connect, type Server, type Vm } from '../../index.js'
import type { Page } from '../page.js'
import { cancel } from './cancel.js'
import { handleErrors } from './handle-errors.js'
import { look } from './look.js'
import { poll } from './poll.js'
import { rewind } from './rewind.js'
import { startTogether } from './start-together.js'
import { stopAll } from './stop-all.js'
import { suspend } from './suspend.js'
import { talk } from './talk.js'
import { workInside } from './work-inside.js'

/** Each step has a VM of its own. */
const steps: readonly ((page: Page, vm: Vm) => Promise<void>)[] = [
  talk,
  look,
  poll,
  cancel,
  suspend,
  rewind,
  handleErrors,
]

/** Shows what VMs can do, step by step. */
export async function tour(page: Page, signal: AbortSignal): Promise<void> {
  const startedAt = performance.now()
  page.title('awaitvm: real x86 machines, inside this process')

  page.step('Connect to a host')
  page.code(`await using server = await connect('embedded:').unwrap()`)
  await using server = await connect('embedded:').unwrap()
  const { hypervisor, version, cpus } = await server.getInfo().unwrap()
  page.say(`${hypervisor} ${version} on ${cpus} processors; nothing to install, and gone when the server is closed`)

  const onInterrupt = (): void => void cancelJobs(server)
  signal.addEventListener('abort', onInterrupt)
  try {
    signal.throwIfAborted()
    const vms = await startTogether(page, server, steps.length)
    for (const [index, vm] of vms.entries()) {
      signal.throwIfAborted()
      await steps[index]?.(page, vm)
    }
    signal.throwIfAborted()
    await workInside(page)
    signal.throwIfAborted()
    await stopAll(page, vms)
  } finally {
    signal.removeEventListener('abort', onInterrupt)
    await cancelJobs(server)
  }

  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  page.write(`\nDone in ${seconds} s. The code is in src/cli/tour.\n`)
  page.write('Boot your own Linux: npm start -- --kernel vmlinuz --initrd initrd.gz\n')
}

/** Cancels all running jobs, and waits for the verdicts. */
async function cancelJobs(server: Server): Promise<void> {
  const jobs = await server.getJobs().unwrap()
  await Promise.all(jobs.map((job) => job.cancel('the tour was interrupted')))
}
