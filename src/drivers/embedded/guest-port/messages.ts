import type { Frame } from './frames.js'

/** What the host tells the guest program: the numbers of guest-program/guest.h. */
export const toGuest = { hello: 1, spec: 2, input: 3, inputEnd: 4, credit: 5, signal: 6, end: 7, resize: 8 } as const

/** Why the guest program did not start a program. */
type FailedStage = 'resources' | 'user' | 'folder' | 'program' | 'privilege' | 'keeper'

const stages = [undefined, 'resources', 'user', 'folder', 'program', 'privilege', 'keeper'] as const

/** What the guest program tells the host. */
export type GuestMessage =
  | { readonly type: 'hello'; readonly session: number; readonly version: number }
  | { readonly type: 'line'; readonly bytesRead: number }
  | { readonly type: 'started' }
  | { readonly type: 'failed'; readonly stage: FailedStage; readonly errno: number }
  | { readonly type: 'output'; readonly stream: 'stdout' | 'stderr'; readonly bytes: Uint8Array }
  | { readonly type: 'credit'; readonly bytes: number }
  | { readonly type: 'signalled'; readonly wasSent: boolean }
  | { readonly type: 'ended'; readonly code: number; readonly signal: number }
  | { readonly type: 'broken' }

/** Reads a message; `undefined` if the guest program would not send such a one. */
export const parseGuestMessage = ({ type, id, data }: Frame): GuestMessage | undefined => {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const has = (bytes: number): boolean => data.length >= bytes
  switch (type) {
    case 1:
      return has(4) ? { type: 'hello', session: id, version: view.getUint32(0, true) } : undefined
    case 2:
      return { type: 'line', bytesRead: id }
    case 3:
      return { type: 'started' }
    case 4: {
      const stage = has(5) ? stages[view.getUint8(0)] : undefined
      return stage && { type: 'failed', stage, errno: view.getUint32(1, true) }
    }
    case 5:
      if (!has(2)) return undefined
      return { type: 'output', stream: data[0] === 0 ? 'stdout' : 'stderr', bytes: data.slice(1) }
    case 6:
      return has(4) ? { type: 'credit', bytes: view.getUint32(0, true) } : undefined
    case 7:
      return has(1) ? { type: 'signalled', wasSent: data[0] === 1 } : undefined
    case 8:
      return has(2) ? { type: 'ended', code: view.getUint8(0), signal: view.getUint8(1) } : undefined
    case 9:
      return { type: 'broken' }
    default:
      return undefined
  }
}

/** Numbers in the order of the guest's processor. */
export const bytesOf = (...fields: readonly (readonly [value: number, bytes: 1 | 2 | 4])[]): Uint8Array => {
  const bytes = new Uint8Array(fields.reduce((sum, [, length]) => sum + length, 0))
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const [value, length] of fields) {
    if (length === 1) view.setUint8(at, value)
    else if (length === 2) view.setUint16(at, value, true)
    else view.setUint32(at, value, true)
    at += length
  }
  return bytes
}
