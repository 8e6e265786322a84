import type { Vm } from '../../index.js'
import { GuestTerminal } from './guest-terminal.js'
import type { Page } from '../page.js'

/** Suspends a VM, which frees its thread, and resumes it with its memory. */
export async function suspend(page: Page, vm: Vm): Promise<void> {
  page.step('Suspend a machine, and bring it back with its memory')
  using before = new GuestTerminal(vm.console())
  page.say(`it counts what it is told: ${await before.ask('count')}, ${await before.ask('count')}`)

  page.code('await vm.suspend().unwrap()')
  await vm.suspend().unwrap()
  page.say(`the VM is ${vm.state}: its thread is gone, its memory is kept`)

  page.code('await vm.resume().unwrap()')
  await vm.resume().unwrap()
  using after = new GuestTerminal(vm.console())
  page.say(`the VM is ${vm.state}, and goes on counting: ${await after.ask('count')}`)
}
