import type { Vm } from '../../index.js'
import type { Page } from '../page.js'

/** Asks every guest to shut down, and kills those that don't. */
export async function stopAll(page: Page, vms: readonly Vm[]): Promise<void> {
  page.step('Stop them all')
  page.code('const results = await Promise.all(vms.map((vm) => vm.stop({ timeoutMs: 1000 })))')
  const results = await Promise.all(vms.map((vm) => vm.stop({ timeoutMs: 1000 })))
  page.say(results.map((result) => (result.isOk() ? 'SUCCESS' : result.error.code)).join(', '))

  for (const vm of vms.filter(({ state }) => state === 'running')) {
    page.code(`await vm.stop({ mode: 'kill' }).unwrap()`)
    await vm.stop({ mode: 'kill' }).unwrap()
    page.say(`${vm.name} did not listen; now it is ${vm.state}`)
  }
}
