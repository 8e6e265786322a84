import type { Vm } from '../../index.js'
import { GuestTerminal } from './guest-terminal.js'
import type { Page } from '../page.js'

/** Talks to the guest over its serial console, which is a Node stream. */
export async function talk(page: Page, vm: Vm): Promise<void> {
  page.step('Talk to a guest over its serial console')
  page.code('const console = vm.console()')
  const console = vm.console()
  using terminal = new GuestTerminal(console)
  page.say(`it said: ${await terminal.readLine()}`)

  page.code(`console.write('help\\r')`)
  console.write('help\r')
  await terminal.readLine() // the echo
  page.say(`it says: ${await terminal.readLine()}`)
}
