import { decode } from 'fast-png'
import type { Vm } from '../../index.js'
import { GuestTerminal } from './guest-terminal.js'
import type { Page } from '../page.js'
import { picture } from './picture.js'

/** Looks at the guest's screen, and presses keys of its keyboard. */
export async function look(page: Page, vm: Vm): Promise<void> {
  page.step('Look at its screen, and type on its keyboard')
  page.code('const png = await vm.screenshot().unwrap()')
  const png = await vm.screenshot().unwrap()
  const image = decode(png)
  page.say(`${image.width} x ${image.height} pixels, ${png.length} bytes of PNG`)
  if (page.hasAllColours) page.write(picture(image))

  using terminal = new GuestTerminal(vm.console())
  await terminal.readLine()
  page.code(`await vm.sendKeys('hi').unwrap()`)
  await vm.sendKeys('hi').unwrap()
  page.say(`it says: ${await terminal.readLine()}, ${await terminal.readLine()} (scancodes of H and I)`)
}
