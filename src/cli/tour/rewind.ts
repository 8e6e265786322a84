import type { Vm } from '../../index.js'
import { GuestTerminal } from './guest-terminal.js'
import type { Page } from '../page.js'

/** Takes a snapshot of a running machine, and goes back to it. */
export async function rewind(page: Page, vm: Vm): Promise<void> {
  page.step('Take a snapshot of a running machine, and go back to it')
  using before = new GuestTerminal(vm.console())
  page.say(`it counts: ${await before.ask('count')}`)

  page.code(`const snapshot = await vm.createSnapshot({ name: 'clean' }).unwrap()`)
  const snapshot = await vm.createSnapshot({ name: 'clean' }).unwrap()
  page.say(`it counts: ${await before.ask('count')}, ${await before.ask('count')}`)

  page.code('await vm.switchToSnapshot(snapshot).unwrap()')
  await vm.switchToSnapshot(snapshot).unwrap()
  using after = new GuestTerminal(vm.console())
  page.say(`it has forgotten that: ${await after.ask('count')}`)
}
