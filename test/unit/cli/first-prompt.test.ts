import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { FirstPrompt } from '../../../src/cli/first-prompt.js'

let prompt: FirstPrompt
let isSeen: boolean
beforeEach(() => {
  vi.useFakeTimers()
  prompt = new FirstPrompt()
  isSeen = false
  void prompt.seen.then(() => {
    isSeen = true
  })
})
afterEach(() => void vi.useRealTimers())

const print = (text: string): void => {
  prompt.see(Buffer.from(text))
}

describe('a prompt', () => {
  test.each(['/ # ', '/ # \u001b[6n', '\u001b[1;32mroot@box\u001b[0m:~$ ', 'box login: ', '> ', 'Continue? '])(
    '%j',
    async (text) => {
      print('Booting\r\n')
      print(text)
      await vi.advanceTimersByTimeAsync(1000)
      expect(isSeen).toBe(true)
    },
  )

  test('may come in pieces', async () => {
    print('/ ')
    print('# ')
    await vi.advanceTimersByTimeAsync(1000)
    expect(isSeen).toBe(true)
  })
})

describe('no prompt', () => {
  test.each(['', 'Loading', '[    3.141593] Run /init:', '/ # ls\r\n'])('%j', async (text) => {
    print(text)
    await vi.advanceTimersByTimeAsync(1000)
    expect(isSeen).toBe(false)
  })

  test('if more text follows at once', async () => {
    print('ACPI: ')
    await vi.advanceTimersByTimeAsync(100)
    print('enabled\r\n')
    await vi.advanceTimersByTimeAsync(1000)
    expect(isSeen).toBe(false)
  })
})

test('a guest that falls silent accepts input, too', async () => {
  print('ready\r\n')
  await vi.advanceTimersByTimeAsync(120_000)
  expect(isSeen).toBe(true)
})

test('a guest that has said nothing yet has not booted', async () => {
  await vi.advanceTimersByTimeAsync(600_000)
  expect(isSeen).toBe(false)
})

test('stopWaiting settles the wait and clears the timer', async () => {
  print('ready\r\n')
  prompt.stopWaiting()
  await prompt.seen
  expect(vi.getTimerCount()).toBe(0)
})
