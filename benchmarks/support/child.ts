/** Measures in a process of its own: what was compiled, collected or left running before does not matter there. */
import { fork } from 'node:child_process'
import { once } from 'node:events'

/** What the script says with `answer`. */
export async function ask(script: string, ...args: readonly string[]): Promise<unknown> {
  const child = fork(script, args, { execArgv: ['--expose-gc'] })
  let answers: unknown[] = []
  child.once('message', (...message) => {
    answers = message
  })
  // The process may exit before its message is read; it is closed after that.
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  if (code === 0 && answers.length > 0) return answers[0]
  throw new Error(`${[script, ...args].join(' ')} failed: ${signal ?? `exit code ${code}`}`)
}

export function answer(message: object): void {
  process.send?.(message)
}
