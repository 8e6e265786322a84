import { expect, test } from 'vitest'
import { PowerManagement } from '../../../src/drivers/embedded/machine/power-management.js'

const setUp = () => {
  const calls: string[] = []
  const power = new PowerManagement({
    setIrq: (irq, raised) => void calls.push(`irq ${irq} ${raised ? 'up' : 'down'}`),
    powerOff: () => void calls.push('power off'),
    reset: () => void calls.push('reset'),
  })
  return { power, calls }
}

test('a press interrupts when the guest has enabled it, until it acknowledges', () => {
  const { power, calls } = setUp()
  power.pressPowerButton()
  expect(calls).toEqual(['irq 9 down'])
  power.write(0x602, 2, 0x100)
  expect(calls.at(-1)).toBe('irq 9 up')
  expect([power.read(0x600, 2), power.read(0x600, 4), power.read(0x601, 1)]).toEqual([0x100, 0x100_0100, 1])
  power.write(0x600, 2, 0x20)
  expect(calls.at(-1)).toBe('irq 9 up')
  power.write(0x600, 2, 0x100)
  expect(calls.at(-1)).toBe('irq 9 down')
  expect(power.withdrawPowerButton()).toBe(false)
})

test('a press can be withdrawn until then', () => {
  const { power, calls } = setUp()
  power.write(0xb003, 1, 1)
  power.pressPowerButton()
  expect(power.withdrawPowerButton()).toBe(true)
  expect(calls.at(-1)).toBe('irq 9 down')
  expect(power.read(0xb000, 4)).toBe(0x100_0000)
})

test('only the sleep type of S5, with its enable bit, powers off; ACPI mode cannot be left', () => {
  const { power, calls } = setUp()
  power.write(0x604, 2, 0x0000)
  power.write(0x604, 2, 0x2400)
  expect(calls).not.toContain('power off')
  expect(power.read(0x604, 2)).toBe(0x0401)
  power.write(0x604, 2, 0x2001)
  expect(calls).toContain('power off')
  expect(power.read(0x604, 4)).toBe(1)
})

test('the ways to reset a PC, and writes that do not reset it', () => {
  const { power, calls } = setUp()
  for (const [port, value] of [
    [0x64, 0xd1],
    [0x64, 0xaa],
    [0xcf9, 2],
    [0x92, 2],
    [0x60, 0xfe],
  ] as const) {
    expect(power.write(port, 1, value)).toBe(false)
  }
  expect(calls).toEqual([])
  for (const [port, value] of [
    [0x64, 0xfe],
    [0xcf9, 6],
    [0x92, 3],
  ] as const)
    power.write(port, 1, value)
  expect(calls).toEqual(['reset', 'reset', 'reset'])
  expect(power.read(0x64, 1)).toBeUndefined()
})

test('the registers can be saved and restored', () => {
  const { power } = setUp()
  power.write(0x602, 2, 0x101)
  power.pressPowerButton()
  const other = setUp().power
  other.restore(power.state)
  expect(other.state).toEqual({ status: 0x100, enable: 0x101, control: 1 })
})
