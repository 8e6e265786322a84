import type { Task } from '../driver/task.js'
import { HostError, ProtocolError } from '../errors.js'
import type { GuestHost } from './guest-way.js'
import { pollGuest } from './poll-guest.js'
import { runScript, type InGuest } from './run-script.js'

/*
 * Prints `ready`; or `waiting` and for what; or `failed` and what has. cloud-init writes its result once it has done all that it is to
 * do at this boot, and its generator says if it is disabled.
 */
const readinessScript = `if [ -d /run/cloud-init ] && [ ! -e /run/cloud-init/disabled ]; then
[ -e /run/cloud-init/result.json ] || { echo "waiting cloud-init"; exit; }
grep -q "\\"errors\\": *\\[ *\\]" /run/cloud-init/result.json || { echo "failed cloud-init"; exit; }
fi
if [ -d /run/systemd/system ]; then
state=$(systemctl is-system-running 2>/dev/null)
case $state in running | degraded) ;; maintenance | stopping) echo "failed $state"; exit ;; *) echo "waiting systemd"; exit ;; esac
fi
echo ready`

/** Waits until the guest can be reached, and what was to be done at its boot is done. */
export async function waitUntilReady(host: GuestHost, vm: string, task: Task): Promise<void> {
  const { signal, operation } = task
  await pollGuest(host, vm, task, (way) => isReady({ way, operation, signal }, task))
}

/** `undefined` as long as it is not. */
async function isReady(guest: InGuest, task: Task): Promise<true | undefined> {
  const answer = await runScript(guest, '/run', { text: readinessScript, args: [], isHarmless: true })
  const [verdict, what = ''] = answer.toString().trim().split(' ')
  if (verdict === 'ready') return true
  if (verdict === 'waiting') {
    task.progress({ phase: 'waiting for the first boot' })
    return undefined
  }
  const { driver } = guest.way
  if (verdict !== 'failed') throw new ProtocolError({ reason: 'the guest does not say whether it is ready' })
  if (what === 'cloud-init') {
    throw new HostError({
      reason: 'cloud-init has failed in its guest',
      hint: 'Look at /run/cloud-init/result.json and /var/log/cloud-init-output.log in the guest.',
      native: { driver, code: what, message: 'result.json has errors' },
    })
  }
  throw new HostError({
    reason: `systemd in its guest is in the state ${JSON.stringify(what)}`,
    hint: 'Look at its console.',
    native: { driver, code: what, message: 'systemctl is-system-running' },
  })
}
