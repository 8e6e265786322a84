import { pipeline } from 'node:stream/promises'
import type { Vm } from '../index.js'
import { FirstPrompt } from './first-prompt.js'

/** Ctrl-] */
const leavingKey = 0x1d

/** Connects this terminal to the guest's serial console until the guest ends, or the user leaves or interrupts it. */
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
    // Piped input that comes too early is lost; a user at a keyboard can type it again.
    if (!isKeyboard) await prompt.seen
    for await (const chunk of stdin as AsyncIterable<Buffer>) {
      const end = isKeyboard ? chunk.indexOf(leavingKey) : -1
      yield end < 0 ? chunk : chunk.subarray(0, end)
      if (end >= 0) leave()
    }
  }

  if (isKeyboard) stdin.setRawMode(true)
  interrupt.addEventListener('abort', leave)
  // One console stream for each direction: when the guest ends, a failed write must not hide its last output.
  const output = pipeline(vm.console(), shown, stdout, options)
  const input = pipeline(typed, vm.console(), options)
  input.catch(() => undefined)
  try {
    return await Promise.race([output.then(() => 'ended' as const), left])
  } finally {
    interrupt.removeEventListener('abort', leave)
    // Before destroy(): a closed terminal keeps its mode.
    if (isKeyboard) stdin.setRawMode(false)
    stdin.destroy()
    prompt.stopWaiting()
    over.abort()
    await Promise.allSettled([output, input])
  }
}
