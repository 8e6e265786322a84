import { domain } from './records.js'
import { int, optional, string, struct, XdrReader, type Codec, type ValueOf } from './xdr.js'

/*
 * What libvirt tells by itself: the number of the event, by which it is registered for, the number of its messages, and their fields, as in
 * `remote_protocol.x`. There is one registration of each for a connection: a second one is refused.
 */
const messages = {
  lifecycle: { event: 0, procedure: 318, fields: struct({ callbackID: int, dom: domain, event: int, detail: int }) },
  reboot: { event: 1, procedure: 319, fields: struct({ callbackID: int, dom: domain }) },
  metadataChange: {
    event: 23,
    procedure: 379,
    fields: struct({ callbackID: int, dom: domain, type: int, nsuri: optional(string) }),
  },
} as const

/** `'lifecycle'`, ... */
export type EventName = keyof typeof messages
export type EventFields<E extends EventName> = ValueOf<(typeof messages)[E]['fields']>

interface EventMessage<F> {
  readonly event: number
  readonly procedure: number
  readonly fields: Codec<F>
}

/** By name. */
export const eventMessages: { readonly [E in EventName]: EventMessage<EventFields<E>> } = messages

/** A function for each event. */
export type EventHandlers = { readonly [E in EventName]?: (fields: EventFields<E>) => void }

/** The events that have a handler. */
export const handledEvents = (handlers: EventHandlers): EventName[] =>
  (Object.keys(messages) as EventName[]).filter((name) => handlers[name] !== undefined)

/** Passes an event on to its handler, if it is one that is known and handled. */
export function takeEvent(handlers: EventHandlers, procedure: number, payload: Buffer): void {
  const tell = <F>({ procedure: own, fields }: EventMessage<F>, handle: ((fields: F) => void) | undefined): void => {
    if (own === procedure) handle?.(fields.read(new XdrReader(payload)))
  }
  tell(messages.lifecycle, handlers.lifecycle)
  tell(messages.reboot, handlers.reboot)
  tell(messages.metadataChange, handlers.metadataChange)
}
