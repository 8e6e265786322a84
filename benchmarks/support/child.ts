/** Measures in a process of its own, free of code, garbage and work of other benchmarks. */
import { fork } from 'node:child_process'
import { once } from 'node:events'

// A script whose runner is gone, for any reason, ends, too. This alone does not keep it running.
process.once('disconnect', () => {
  process.exit(1)
})
process.channel?.unref()

/** The message that the script sends with `answer`. */
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
