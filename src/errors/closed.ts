import { ConnectionError, OutcomeUnknownError } from '../errors.js'

const reason = 'the server was closed'

/** Error for work that was not sent to the host before its connection was closed. */
export const closedBeforeSending = (cause?: unknown): ConnectionError =>
  new ConnectionError({ reason, retryable: false, cause })

/** Error for work that was sent to the host, and that the host had not answered when the connection was closed. */
export const closedBeforeAnswer = (cause?: unknown): OutcomeUnknownError =>
  new OutcomeUnknownError({ reason, hint: 'Ask for the state of the VM: it may have taken place.', cause })
