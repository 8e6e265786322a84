import * as v from 'valibot'
import { wallClockMs } from '../clock.js'
import type { Agent } from './agent.js'
import { ask } from './agent-answer.js'
import { AgentCommandError } from './agent-errors.js'
import { runScript } from './agent-program.js'

/** How far a guest's clock may be behind: setting it also writes the hardware clock, which should be rare. */
const toleranceMs = 500
const answerTimeoutMs = 5000
const nanosecondsPerMs = 1e6

const timeSchema = v.number()

/** Sets the clock of a guest that is behind, since it was paused or suspended. */
export async function catchUp(agent: Agent): Promise<void> {
  const told = await ask(agent, timeSchema, 'guest-get-time', undefined, answerTimeoutMs)
  if (wallClockMs() - told / nanosecondsPerMs < toleranceMs) return
  try {
    await agent.execute('guest-set-time', { time: Math.round(wallClockMs() * nanosecondsPerMs) }, answerTimeoutMs)
  } catch (error) {
    if (!(error instanceof AgentCommandError)) throw error
    // The agent needs hwclock for that, which recent systems lack.
    const { exitCode } = await runScript(agent, 'date -u -s "@$1"', String(Math.round(wallClockMs() / 1000)))
    if (exitCode !== 0) throw error
  }
}
