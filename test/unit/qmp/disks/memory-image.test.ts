import { beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { QmpClient } from '../../../../src/drivers/qmp/protocol/qmp-client.js'
import { QmpCommandError } from '../../../../src/drivers/qmp/protocol/qmp-errors.js'
import { SerialGuest } from '../../../../src/testing/conformance/serial-guest.js'
import { missingQemu, skipWithout } from '../../../support/optional-tool.js'
import { QmpHost } from '../../../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

/** The I/O of the memory's files in each command that QEMU accepts. */
function watchIo(refuses: (aio: string) => boolean = () => false): string[][] {
  const accepted: string[][] = []
  const execute = QmpClient.prototype.execute
  const spy = vi.spyOn(QmpClient.prototype, 'execute').mockImplementation(async function (
    this: QmpClient,
    command,
    args,
    options,
  ) {
    const ways = [...JSON.stringify(args ?? {}).matchAll(/"aio":"(\w+)"/g)].map(([, aio = '']) => aio)
    if (ways.some(refuses)) throw new QmpCommandError(command, 'GenericError', 'Unable to use linux io_uring')
    const answer = await execute.call(this, command, args, options)
    if (command === 'blockdev-add') accepted.push(ways)
    return answer
  })
  onTestFinished(() => {
    spy.mockRestore()
  })
  return accepted
}

test('memory is saved and loaded by io_uring', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  const guest = await host.boot(vm)
  const counted = await guest.count()
  const accepted = watchIo()
  await vm.suspend().unwrap()
  await vm.resume().unwrap()
  expect(await new SerialGuest(vm).count()).toBe(counted + 1)
  expect(accepted).toEqual([['io_uring'], ['io_uring', 'io_uring']])
})

test('memory is saved and loaded by threads of QEMU in a container that forbids io_uring', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  const guest = await host.boot(vm)
  const counted = await guest.count()
  const accepted = watchIo((aio) => aio === 'io_uring')
  await vm.suspend().unwrap()
  await vm.resume().unwrap()
  expect(await new SerialGuest(vm).count()).toBe(counted + 1)
  expect(accepted).toEqual([[], []])
})
