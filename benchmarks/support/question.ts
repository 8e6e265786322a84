/** What a guest's shell is asked, to see that it runs. */
import type { Vm } from 'awaitvm'

/** A line whose echo is not its answer. */
export const question = (word: string): string => `echo an""swer ${word}\n`
export const answerTo = (word: string): string => `answer ${word}`

/** Asks the guest of a VM that has just been made, and waits for its answer. */
export async function askGuest(vm: Vm): Promise<void> {
  const console = vm.console()
  console.write(question(vm.name))
  await read(console, answerTo(vm.name))
}

/** Waits until the guest has printed a text. */
export const untilPrinted = (vm: Vm, text: string): Promise<void> => read(vm.console(), text)

async function read(console: ReturnType<Vm['console']>, text: string): Promise<void> {
  let output = ''
  for await (const piece of console.setEncoding('utf8')) {
    output += String(piece)
    if (output.includes(text)) return
  }
  throw new Error('the guest has ended')
}
