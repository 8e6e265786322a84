import { Job, type Server, type Vm } from '../../index.js'
import type { Page } from '../page.js'
import { progressBoard } from '../progress-board.js'

/** Boots several VMs at once, and watches them. */
export async function startTogether(page: Page, server: Server, count: number): Promise<Vm[]> {
  const names = Array.from({ length: count }, (_, index) => `vm-${index + 1}`)

  page.step(`Start ${count} machines at once`)
  page.code('const vms = await Job.all(names.map((name) => server.createVm({ name }))).unwrap()')
  const vms = await Job.all(names.map((name) => server.createVm({ name }))).unwrap()

  page.code('const jobs = vms.map((vm) => vm.start())')
  const jobs = vms.map((vm) => vm.start())

  page.code('for await (const progress of Job.all(jobs)) show(progress)')
  const showAll = progressBoard(page)
  const show = ({ percent }: { readonly percent: number }): void => {
    const rows = jobs.map(({ target, progress }) => ({ name: target?.name ?? '', progress }))
    showAll(rows, percent === 100)
  }
  for await (const progress of Job.all(jobs)) show(progress)

  await Job.all(jobs).unwrap()
  return vms
}
