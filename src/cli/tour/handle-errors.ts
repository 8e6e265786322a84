import type { StartErrors, Vm } from '../../index.js'
import type { Page } from '../page.js'

/** Starts a VM that runs already, and handles every error that the type allows. */
export async function handleErrors(page: Page, vm: Vm): Promise<void> {
  page.step('Handle a typed error')
  page.code('const result = await vm.start()')
  const result = await vm.start()
  if (result.isOk()) return
  page.say(result.error.message)
  page.code('switch (error.code) {')
  page.say(`${result.error.code}: ${advise(result.error)}; a forgotten case does not compile`)
}

function advise(error: StartErrors): string {
  switch (error.code) {
    case 'INVALID_STATE':
      return `it is ${error.state}, and would have to be ${error.expected.join(' or ')}`
    case 'VM_NOT_FOUND':
      return 'somebody has deleted it'
    case 'RESOURCE_BUSY':
    case 'CONNECTION_FAILED':
      return error.retryable ? 'try again in a moment' : 'close what uses it first'
    case 'GUEST_UNAVAILABLE':
      return 'it runs: give its guest a way in'
    case 'INSUFFICIENT_RESOURCES':
      return 'stop another VM first'
    case 'FIRMWARE_NOT_FOUND':
    case 'HOST_TOOL_NOT_FOUND':
      return `install what is missing: ${error.hint ?? error.reason}`
    case 'AUTHENTICATION_FAILED':
    case 'PERMISSION_DENIED':
      return 'ask for the right to do it'
    case 'INVALID_ARGUMENT':
      return `correct ${error.path}`
    case 'NOT_SUPPORTED':
      return `choose a host that offers ${error.capability}`
    case 'TIMEOUT':
    case 'JOB_CANCELLED':
      return 'it was stopped, as was asked for'
    case 'OUTCOME_UNKNOWN':
      return 'ask for its state: it may have been started'
    case 'PROTOCOL_ERROR':
    case 'HOST_ERROR':
      return `the host says: ${error.native?.message ?? error.reason}`
    default:
      return error satisfies never
  }
}
