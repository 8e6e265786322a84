import { ConnectionError, OutcomeUnknownError, type VmError } from '../errors.js'

const reason = 'the server was closed'
const askForIt = 'Ask for the state of the VM: it may have taken place.'

/** Error for work that was not sent to the host before its connection was closed, and for any query. */
export const closedBeforeSending = (cause?: unknown): ConnectionError =>
  new ConnectionError({ reason, hint: 'Connect again with connect().', retryable: false, cause })

/** Error for a change that was sent to the host, and that the host had not answered when the connection was closed. */
export const closedBeforeAnswer = (cause?: unknown): OutcomeUnknownError =>
  new OutcomeUnknownError({ reason, hint: askForIt, cause })

/** Error for a change that was sent to the host before the connection was lost, and the host's answer with it. */
export const lostBeforeAnswer = (cause: VmError): OutcomeUnknownError =>
  new OutcomeUnknownError({ reason: cause.reason, hint: askForIt, native: cause.native, cause })
