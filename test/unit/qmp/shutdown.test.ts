import { connect } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../../support/optional-tool.js'
import { QmpHost } from '../../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

test('a shutdown whose time is over frees its place in line for the next job', async () => {
  await using host = await QmpHost.open()
  const guest = await host.boot(await host.createVm())
  await guest.ignorePowerButton()
  await using narrow = await connect(host.uri, { maxConcurrentOperations: 1 }).unwrap()
  const vm = await narrow.getVm('web-1').unwrap()
  const stopping = vm.stop({ timeoutMs: 2000 })
  // It can be cancelled before the button is pressed.
  for await (const { phase } of stopping) if (phase === 'waiting for the guest') break
  expect(stopping.isCancelable).toBe(false)
  await failureOf(stopping, 'OUTCOME_UNKNOWN')
  await vm.pause().unwrap()
  expect(vm.state).toBe('paused')
})

test('a shutdown presses the button of the guest that ran when it was called, and not of the next one', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  const guest = await host.boot(vm)
  await guest.ignorePowerButton()
  const stopping = vm.stop()
  await vm.stop({ mode: 'kill' }).unwrap()
  const anew = await host.boot(vm)
  await stopping
  expect(await anew.count()).toBe(1)
  expect(await vm.getState().unwrap()).toBe('running')
})
