import { expect, test } from 'vitest'
import { CallLog, SimulatedCall } from '../../../src/drivers/simulated/call-log.js'

const call = (number: number): SimulatedCall =>
  new SimulatedCall('vm.start', { id: `id-${number}`, name: `vm-${number}` }, {}, number)

const fill = (log: CallLog, count: number): void => {
  for (let number = 0; number < count; number += 1) log.add(call(number))
}

const names = (log: CallLog): (string | undefined)[] => [...log].map(({ vm }) => vm)

test('the log keeps the last calls in order, and counts the older ones', () => {
  const log = new CallLog(3)
  fill(log, 2)
  expect(names(log)).toEqual(['vm-0', 'vm-1'])
  fill(log, 5)
  expect(names(log)).toEqual(['vm-2', 'vm-3', 'vm-4'])
  expect([log.length, log.dropped]).toEqual([3, 4])
  expect([log.at(0)?.vm, log.at(-1)?.vm, log.at(3)?.vm, log.at(-4)?.vm]).toEqual(['vm-2', 'vm-4', undefined, undefined])
})

test('a log that was cleared goes on', () => {
  const log = new CallLog(3)
  fill(log, 5)
  log.clear()
  expect([names(log), log.dropped]).toEqual([[], 0])
  fill(log, 4)
  expect(names(log)).toEqual(['vm-1', 'vm-2', 'vm-3'])
})

test('a log of capacity 0 keeps no call', () => {
  const log = new CallLog(0)
  fill(log, 5)
  expect([names(log), log.dropped]).toEqual([[], 5])
})

test('a call as JSON has all that is known of it', () => {
  const made = new SimulatedCall('vm.stop', { id: 'id', name: 'web-1' }, { mode: 'kill' }, 5)
  SimulatedCall.end(made, 'RESOURCE_BUSY')
  expect(JSON.parse(JSON.stringify(made))).toEqual({
    operation: 'vm.stop',
    vm: 'web-1',
    vmId: 'id',
    input: { mode: 'kill' },
    at: '1970-01-01T00:00:00.005Z',
    outcome: 'RESOURCE_BUSY',
  })
})
