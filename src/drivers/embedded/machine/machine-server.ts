import type { EmulatorCode } from './emulator-code.js'
import { emulatorCodeCache, loadEmulatorScript } from './emulator-script.js'
import { toFailure } from './failure.js'
import { Machine } from './machine.js'
import { MachineStoppedError } from './machine-stopped-error.js'
import type { MachineEvents, MachineMessage, RequestMessage } from './protocol.js'

/** The first message to a thread. */
export interface MachineThreadData {
  readonly code: EmulatorCode
}

/** The part of a `MessagePort` that is used here. */
export interface MachinePort {
  postMessage(message: MachineMessage, transfer: readonly ArrayBuffer[]): void
  on(event: 'message', listener: (message: RequestMessage) => void): unknown
}

type Post = (message: MachineMessage, ...transfer: ArrayBuffer[]) => void

/** Answers the requests that come through the port: first to load a machine, then to work on it. */
export const serveMachine = (port: MachinePort, { code }: MachineThreadData): void => {
  const post: Post = (message, ...transfer) => port.postMessage(message, transfer)
  const events = eventsTo(post, code.givesCodeCache === true)
  let machine: Machine | undefined
  const call = async (request: RequestMessage): Promise<unknown> => {
    if (request.method === 'load') {
      machine = await Machine.load(request.args[0], code, events)
      return undefined
    }
    if (machine === undefined) throw new MachineStoppedError()
    return callMachine(machine, request)
  }
  port.on('message', (request) => {
    const { id } = request
    call(request).then(
      (value) => post({ type: 'value', id, value }, ...buffersOf(value)),
      (error: unknown) => post({ type: 'failure', id, failure: toFailure(error) }),
    )
  })
  loadEmulatorScript(code)
  post({ type: 'ready' })
}

const eventsTo = (post: Post, givesCodeCache: boolean): MachineEvents => {
  let owesCodeCache = givesCodeCache
  return {
    output: (bytes) => {
      post({ type: 'output', bytes }, ...buffersOf(bytes))
      if (!owesCodeCache) return
      owesCodeCache = false
      // By its first output, a machine has run most of the code.
      setImmediate(() => post({ type: 'codeCache', bytes: emulatorCodeCache() }))
    },
    portOutput: (bytes) => post({ type: 'portOutput', bytes }, ...buffersOf(bytes)),
    powerOff: (reason) => post({ type: 'powerOff', reason }),
    reset: () => post({ type: 'reset' }),
    diskFull: (error) => post({ type: 'diskFull', failure: toFailure(error) }),
    crash: (error) => post({ type: 'crash', failure: toFailure(error) }),
  }
}

const callMachine = (machine: Machine, request: Exclude<RequestMessage, { method: 'load' }>): Promise<unknown> => {
  switch (request.method) {
    case 'sendSerial':
      return machine.sendSerial(...request.args)
    case 'sendPort':
      return machine.sendPort(...request.args)
    case 'sendScancodes':
      return machine.sendScancodes(...request.args)
    case 'exportDisk':
      return machine.exportDisk(...request.args)
    default:
      return machine[request.method]()
  }
}

/** The buffers to transfer instead of copying: every array that a machine returns belongs to the caller. */
const buffersOf = (value: unknown): ArrayBuffer[] => {
  const array = typeof value === 'object' && value !== null && 'rgba' in value ? value.rgba : value
  return array instanceof Uint8Array && array.buffer instanceof ArrayBuffer ? [array.buffer] : []
}
