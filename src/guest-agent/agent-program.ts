import { setTimeout as delay } from 'node:timers/promises'
import * as v from 'valibot'
import type { ExecResult } from '../model/exec.js'
import type { Agent } from './agent.js'
import { AgentCommandError, AgentSilentError, NoShellError } from './agent-errors.js'

/** What every POSIX system has. */
export const shell = '/bin/sh'

/** A program as the agent starts it, found by the agent's own PATH. */
export interface AgentProgram {
  readonly path: string
  readonly args: readonly string[]
  readonly input?: Uint8Array | undefined
}

const base64 = v.pipe(
  v.string(),
  v.transform((text) => new Uint8Array(Buffer.from(text, 'base64'))),
)
const output = v.optional(base64, '')
const startSchema = v.object({ pid: v.pipe(v.number(), v.safeInteger()) })
const statusSchema = v.object({
  exited: v.boolean(),
  exitcode: v.optional(v.number()),
  signal: v.optional(v.number()),
  'out-data': output,
  'err-data': output,
  'out-truncated': v.optional(v.boolean(), false),
  'err-truncated': v.optional(v.boolean(), false),
})

/** The id that the agent has for it, which on a POSIX system is that of the process. */
export async function startProgram(agent: Agent, { path, args, input }: AgentProgram): Promise<number> {
  const answer = await agent.execute('guest-exec', {
    path,
    arg: args,
    'capture-output': true,
    ...(input !== undefined && { 'input-data': Buffer.from(input).toString('base64') }),
  })
  return v.parse(startSchema, answer).pid
}

/** Whether there is no such program: GLib's words for what execvp(3) said. */
export const isMissing = (error: unknown): boolean =>
  error instanceof AgentCommandError && error.message.includes('(No such file or directory)')

/** How the program has ended, which the agent tells once; nothing while it runs, or its outputs are held open. */
export async function endOfProgram(agent: Agent, pid: number): Promise<ExecResult | undefined> {
  const status = v.parse(statusSchema, await agent.execute('guest-exec-status', { pid }))
  if (!status.exited) return undefined
  return {
    exitCode: status.exitcode,
    ...(status.signal !== undefined && { signal: status.signal }),
    stdout: status['out-data'],
    stderr: status['err-data'],
    isTruncated: status['out-truncated'] || status['err-truncated'],
  }
}

const firstPauseMs = 2
/** How long a turn may be spent on waiting for a program. */
const patienceMs = 250

/** The end of a program that has only just begun, where it comes soon. */
export async function soonEndOf(agent: Agent, pid: number): Promise<ExecResult | undefined> {
  for (let pause = firstPauseMs; pause <= patienceMs / 2; pause *= 2) {
    await delay(pause)
    const result = await endOfProgram(agent, pid)
    if (result !== undefined) return result
  }
  return undefined
}

const scriptPauseMs = 20
const scriptTimeoutMs = 10_000

/** Runs a short script of the SDK's own in the guest's shell, to its end. */
export async function runScript(agent: Agent, script: string, ...parameters: readonly string[]): Promise<ExecResult> {
  const program = { path: shell, args: ['-c', script, 'sh', ...parameters] }
  const pid = await startProgram(agent, program).catch((error: unknown) => {
    throw isMissing(error) ? new NoShellError(error) : error
  })
  const deadline = performance.now() + scriptTimeoutMs
  let result = await soonEndOf(agent, pid)
  while (result === undefined) {
    if (performance.now() > deadline) throw new AgentSilentError(scriptTimeoutMs)
    await delay(scriptPauseMs)
    result = await endOfProgram(agent, pid)
  }
  return result
}
