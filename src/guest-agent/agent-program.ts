import { setTimeout as delay } from 'node:timers/promises'
import * as v from 'valibot'
import type { BufferedEnd } from '../driver/buffered-program.js'
import type { Agent } from './agent.js'
import { AgentCommandError, AgentSilentError, NoShellError } from './agent-errors.js'

/** The shell of every POSIX system. */
export const shell = '/bin/sh'

/** A program for the agent to start, which searches its own PATH. */
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

/** Starts a program. Returns the agent's id of it, which on a POSIX system is the process id. */
export async function startProgram(agent: Agent, { path, args, input }: AgentProgram): Promise<number> {
  const answer = await agent.execute('guest-exec', {
    path,
    arg: args,
    'capture-output': true,
    ...(input !== undefined && { 'input-data': Buffer.from(input).toString('base64') }),
  })
  return v.parse(startSchema, answer).pid
}

/** True if the program does not exist, by GLib's text for the error of execvp(3). */
export const isMissing = (error: unknown): boolean =>
  error instanceof AgentCommandError && error.message.includes('(No such file or directory)')

/** The program's result, which the agent tells once; `undefined` while it runs, or something holds its outputs open. */
export async function endOfProgram(agent: Agent, pid: number): Promise<BufferedEnd | undefined> {
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
/** How long a turn may wait for a program. */
const patienceMs = 250

/** The result of a program that was just started, if it ends soon. */
export async function soonEndOf(agent: Agent, pid: number): Promise<BufferedEnd | undefined> {
  for (let pause = firstPauseMs; pause <= patienceMs / 2; pause *= 2) {
    await delay(pause)
    const result = await endOfProgram(agent, pid)
    if (result !== undefined) return result
  }
  return undefined
}

const scriptPauseMs = 20
const scriptTimeoutMs = 10_000

/** Runs a short script of the SDK in the guest's shell, to its end. */
export async function runScript(agent: Agent, script: string, ...parameters: readonly string[]): Promise<BufferedEnd> {
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
