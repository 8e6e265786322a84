import { InvalidStateError, OutcomeUnknownError, VmError } from '../errors.js'
import { goneWithGuest, programEndUnknown } from '../errors/program-end.js'
import { AgentAbsentError, AgentCommandError, AgentConnectionError, AgentSilentError } from './agent-errors.js'

/**
 * Error for a program that may have run, by the cause.
 *
 * @param state of the VM, if the connection to the agent is lost
 */
export function lostProgram(cause: unknown, state?: string): OutcomeUnknownError {
  return cause instanceof OutcomeUnknownError ? cause : programEndUnknown(reasonOf(cause, state), { cause })
}

function reasonOf(cause: unknown, state: string | undefined): string {
  if (cause instanceof AgentAbsentError) return 'the agent in its guest has ended'
  if (cause instanceof AgentCommandError)
    return `the agent in its guest was restarted, or refuses to go on: ${cause.message}`
  if (cause instanceof DOMException) return 'the server was closed'
  if (cause instanceof InvalidStateError) return goneWithGuest(cause.state)
  const message = cause instanceof VmError ? cause.reason : cause instanceof Error ? cause.message : String(cause)
  return state === undefined || isThere.includes(state) ? message : goneWithGuest(state)
}

/** In these states of the VM, its guest may go on, and could only not be reached. */
const isThere: readonly string[] = ['running', 'paused', 'unknown']

export const isPaused = (error: unknown): boolean => error instanceof InvalidStateError && error.state === 'paused'

/** A host whose guest ends closes the connection first: what has become of the VM is known a moment later. */
export const isToBeAsked = (error: unknown): boolean =>
  isPaused(error) || error instanceof AgentSilentError || error instanceof AgentConnectionError

/** Error for a program whose end nobody tells. */
export const lostShell = (): Error => programEndUnknown('the shell in the guest that waited for the program was killed')
