import type { CancelErrors, Vm } from '../../index.js'
import { GuestTerminal } from './guest-terminal.js'
import type { Page } from '../page.js'

/** Stops a guest that ignores its power button, cancels the stop, and shows both verdicts. */
export async function cancel(page: Page, vm: Vm): Promise<void> {
  page.step('Cancel a job')
  using terminal = new GuestTerminal(vm.console())
  await terminal.type('deaf')
  // The guest replies only after it has carried out the line before.
  await terminal.ask('count')
  page.say('this guest ignores its power button from now on')

  page.code('const job = vm.stop()')
  const job = vm.stop()
  page.code('const waited = await job.wait({ timeoutMs: 100 })')
  const waited = await job.wait({ timeoutMs: 100 })
  if (waited.isErr()) page.say(`${waited.error.code}: the wait is over, and the job is ${job.status}`)

  page.code(`const verdict = await job.cancel('it does not listen')`)
  const verdict = await job.cancel('it does not listen')
  page.say(verdict.match(() => 'cancelled: the press of the button was taken back', explain))
  const result = await job
  if (result.isErr()) page.say(`the job ended with ${result.error.code}, and the VM is ${vm.state}`)

  page.code('const late = await job.cancel()')
  const late = await job.cancel()
  page.say(late.match(() => 'cancelled', explain))
}

function explain({ code }: CancelErrors): string {
  switch (code) {
    case 'JOB_NOT_CANCELABLE':
      return `${code}: it goes on`
    case 'JOB_FINISHED':
      return `${code}: it had ended before`
  }
}
