import { setTimeout as delay } from 'node:timers/promises'
import type { Progress, Vm } from '../../index.js'
import type { Page } from '../page.js'

/** Polls the status and progress of a job instead of awaiting it. */
export async function poll(page: Page, vm: Vm): Promise<void> {
  page.step('Poll a job')
  page.code('const job = vm.restart()')
  const job = vm.restart()

  let shown = ''
  const look = async ({ percent, phase = 'asking' }: Progress): Promise<void> => {
    const line = `${job.status}: ${percent.toFixed(0)} %, ${phase}`
    if (line !== shown) page.say(line)
    shown = line
    await delay(10)
  }
  page.code(`while (job.status === 'running') await look(job.progress)`)
  while (job.status === 'running') await look(job.progress)
  page.say(`${job.status}: ${job.progress.percent} %, return code ${String(job.retCode)}`)
  await job.unwrap()
}
