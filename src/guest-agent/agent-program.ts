import * as v from 'valibot'
import { pause } from '../driver/backoff.js'
import { poll } from '../driver/poll.js'
import type { Agent } from './agent.js'
import { ask } from './agent-answer.js'
import { AgentCommandError, AgentSilentError, NoShellError } from './agent-errors.js'

const text = v.optional(
  v.pipe(
    v.string(),
    v.transform((content) => Buffer.from(content, 'base64').toString()),
  ),
  '',
)
const startSchema = v.object({ pid: v.pipe(v.number(), v.safeInteger()) })
const statusSchema = v.object({
  exited: v.boolean(),
  exitcode: v.optional(v.number()),
  'out-data': text,
  'err-data': text,
})

/** How a script ended. */
export interface ScriptEnd {
  /** Absent if a signal ended it. */
  readonly exitCode: number | undefined
  readonly stdout: string
  readonly stderr: string
}

const pauses = { initialMs: 2, maxMs: 20 }
const scriptTimeoutMs = 10_000

/** True if the program does not exist, by GLib's text for the error of execvp(3). */
const isMissing = (error: unknown): boolean =>
  error instanceof AgentCommandError && error.message.includes('(No such file or directory)')

/** Runs a short script of the SDK in the guest's shell, to its end. It must leave no process that holds its outputs open. */
export async function runScript(agent: Agent, script: string, ...parameters: readonly string[]): Promise<ScriptEnd> {
  const program = { path: '/bin/sh', arg: ['-c', script, 'sh', ...parameters], 'capture-output': true }
  const { pid } = await ask(agent, startSchema, 'guest-exec', program).catch((error: unknown) => {
    throw isMissing(error) ? new NoShellError(error) : error
  })
  // No program ends sooner.
  await pause(pauses.initialMs)
  return await poll(async (waitedMs) => {
    const status = await ask(agent, statusSchema, 'guest-exec-status', { pid })
    if (status.exited) return { exitCode: status.exitcode, stdout: status['out-data'], stderr: status['err-data'] }
    if (waitedMs > scriptTimeoutMs) throw new AgentSilentError(scriptTimeoutMs)
    return undefined
  }, pauses)
}
