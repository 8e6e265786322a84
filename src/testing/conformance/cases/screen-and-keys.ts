import { decode } from 'fast-png'
import { expect } from 'vitest'
import type { Cases } from '../case.js'

export const screenAndKeys: Cases = ({ promises }) => {
  for (const state of ['running', 'paused'] as const) {
    promises(
      `a screenshot of a ${state} VM is a PNG of a sensible size`,
      ['vm.screenshot', 'running VM', ...(state === 'paused' ? (['vm.pause'] as const) : [])],
      async (trial) => {
        const vm = await trial.vmIn(state)
        const image = await vm.screenshot().unwrap()
        expect([...image.subarray(0, 8)]).toEqual([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
        const { width, height, data } = decode(image)
        expect(width).toBeGreaterThanOrEqual(160)
        expect(width).toBeLessThanOrEqual(4096)
        expect(height).toBeGreaterThanOrEqual(100)
        expect(height).toBeLessThanOrEqual(4096)
        expect(data.length).toBeGreaterThanOrEqual(width * height)
        await trial.expectState(vm, state)
      },
    )
  }

  promises('keys reach the guest, one after another', ['vm.sendKeys', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVm()
    await vm.sendKeys(['KeyA', 'KeyB', 'Enter', 'F1']).unwrap()
    for (const key of ['KeyA', 'KeyB', 'Enter', 'F1'] as const) await guest.untilKey(key)
  })

  promises('keys in an array of their own are pressed together', ['vm.sendKeys', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVm()
    await vm.sendKeys([['ControlLeft', 'AltLeft', 'KeyZ']]).unwrap()
    for (const key of ['ControlLeft', 'AltLeft', 'KeyZ'] as const) await guest.untilKey(key)
  })

  promises('a text is typed as on a US keyboard', ['vm.sendKeys', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVm()
    await vm.sendKeys('aB!\n').unwrap()
    const keys = ['KeyA', 'ShiftLeft', 'KeyB', 'ShiftLeft', 'Digit1', 'Enter'] as const
    for (const key of keys) {
      // A second press of Shift may be missing while Shift is held.
      if (key === 'ShiftLeft' && (await guest.hasSeenKey('KeyB'))) continue
      await guest.untilKey(key)
    }
  })

  promises('an empty list of keys is accepted', ['vm.sendKeys', 'running VM'], async (trial) => {
    const vm = await trial.vmIn('running')
    await vm.sendKeys([]).unwrap()
    await vm.sendKeys('').unwrap()
    await trial.expectState(vm, 'running')
  })
}
