import { GuestUnavailableError, HostError, NotSupportedError } from '../errors.js'
import { nativeErrorOf } from '../errors/native.js'
import type { OperationCode } from '../operations.js'

const maxWords = 500

/** Text from a guest for a message: shortened, and without control characters. */
export const guestWords = (text: string): string =>
  text
    .slice(0, maxWords)
    .replace(/\p{Cc}+/gu, ' ')
    .trim()

/** The agent refused a command, or failed to execute it. */
export class AgentCommandError extends Error {
  /** The error class: `'GenericError'`, `'CommandNotFound'`, ... */
  readonly code: string

  constructor(errorClass: string, description: string) {
    super(guestWords(description))
    this.name = 'AgentCommandError'
    this.code = guestWords(errorClass)
  }
}

/** No agent has opened its port in the guest. */
export class AgentAbsentError extends Error {
  constructor() {
    super('no agent runs in the guest')
    this.name = 'AgentAbsentError'
  }
}

/** The connection to the agent is broken, or could not be made. */
export class AgentConnectionError extends Error {
  constructor(reason: string, cause?: unknown) {
    super(reason, cause === undefined ? undefined : { cause })
    this.name = 'AgentConnectionError'
  }
}

/**
 * The agent may have executed a command, whose answer got lost on the way: since the connection broke, or, seen with QEMU 7.2, soon
 * after another client was connected to the agent.
 */
export class AnswerLostError extends AgentConnectionError {
  constructor(reason = 'the agent has not answered a command, but a later one', cause?: unknown) {
    super(reason, cause)
    this.name = 'AnswerLostError'
  }
}

/** An agent has opened its port, but does not answer. */
export class AgentSilentError extends Error {
  constructor(timeoutMs: number) {
    super(`the agent in the guest has not answered within ${String(timeoutMs / 1000)} s`)
    this.name = 'AgentSilentError'
  }
}

/** There is no POSIX shell in the guest. */
export class NoShellError extends Error {
  constructor(cause: unknown) {
    super('the guest has no /bin/sh, which all programs and copies are run by', { cause })
    this.name = 'NoShellError'
  }
}

/** The SDK's error for an error of an agent; other errors are returned unchanged. */
export function agentError(error: unknown, operation: OperationCode, driver: string): unknown {
  if (error instanceof AgentAbsentError) {
    const hint = 'Install the package qemu-guest-agent in the guest, or wait until the agent is up.'
    return new GuestUnavailableError({ reason: error.message, hint, cause: error, retryable: true })
  }
  if (error instanceof AgentSilentError) {
    const hint = 'It hangs, the guest is busy, or another process keeps its connection. Start it again if that lasts.'
    return new GuestUnavailableError({ reason: error.message, hint, cause: error, retryable: true })
  }
  if (error instanceof NoShellError) {
    const hint = 'Install a POSIX shell in the guest.'
    return new NotSupportedError({ capability: operation, reason: error.message, hint, cause: error })
  }
  if (!(error instanceof AgentCommandError)) return error
  const native = nativeErrorOf(driver, error)
  const reason = `the agent in the guest says: ${native.message}`
  if (error.code === 'CommandNotFound') {
    const hint = 'Allow the command in the agent (qemu-ga --block-rpcs), or install a newer agent.'
    return new NotSupportedError({ capability: operation, reason, hint, native, cause: error })
  }
  return new HostError({ reason, native, cause: error })
}
