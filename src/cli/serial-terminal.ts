import { pipeline } from 'node:stream/promises'
import type { Vm } from '../index.js'
import { FirstPrompt } from './first-prompt.js'

/** Ctrl-] */
const leavingKey = 0x1d

/** Makes this process's terminal the guest's, until the guest ends, or the user leaves or interrupts it. */
export async function converse(vm: Vm, interrupt: AbortSignal): Promise<'ended' | 'left'> {
  const { stdin, stdout } = process
  const isKeyboard = stdin.isTTY
  const prompt = new FirstPrompt()
  const over = new AbortController()
  const options = { end: false, signal: over.signal }
  let leave: () => void = () => undefined
  const left = new Promise<'left'>((resolve) => {
    leave = () => {
      resolve('left')
    }
  })

  async function* shown(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      prompt.see(chunk)
      yield chunk
    }
  }
  async function* typed(): AsyncGenerator<Buffer> {
    // Nobody retypes what was piped in too early; who sits at a keyboard can.
    if (!isKeyboard) await prompt.seen
    for await (const chunk of stdin as AsyncIterable<Buffer>) {
      const end = isKeyboard ? chunk.indexOf(leavingKey) : -1
      yield end < 0 ? chunk : chunk.subarray(0, end)
      if (end >= 0) leave()
    }
  }

  if (isKeyboard) stdin.setRawMode(true)
  interrupt.addEventListener('abort', leave)
  // A console for each direction: when the guest ends, what it can't be told any more must not hide its last words.
  const output = pipeline(vm.console(), shown, stdout, options)
  const input = pipeline(typed, vm.console(), options)
  input.catch(() => undefined)
  try {
    return await Promise.race([output.then(() => 'ended' as const), left])
  } finally {
    interrupt.removeEventListener('abort', leave)
    // In this order: a terminal that is closed stays as it is.
    if (isKeyboard) stdin.setRawMode(false)
    stdin.destroy()
    prompt.stopWaiting()
    over.abort()
    await Promise.allSettled([output, input])
  }
}
