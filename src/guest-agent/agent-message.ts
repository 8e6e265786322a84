import * as v from 'valibot'
import { parseShallowJson } from '../model/shallow-json.js'

const messageSchema = v.record(v.string(), v.unknown())
const failureSchema = v.object({ class: v.string(), desc: v.string() })

/** One line from a guest agent: qemu/docs/interop/qemu-ga-ref. */
export type AgentReply =
  | { readonly kind: 'value'; readonly id: unknown; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: unknown; readonly class: string; readonly desc: string }

/** Throws if the line is not a reply. */
export function parseAgentReply(line: string): AgentReply {
  const message = v.parse(messageSchema, parseShallowJson(line))
  const id = message['id']
  if ('return' in message) return { kind: 'value', id, value: message['return'] }
  return { kind: 'failure', id, ...v.parse(failureSchema, message['error']) }
}

export const formatAgentCommand = (
  id: number,
  command: string,
  args: Readonly<Record<string, unknown>> | undefined,
): string => `${JSON.stringify({ execute: command, ...(args !== undefined && { arguments: args }), id })}\n`

/** A byte that is not in any text: the agent drops the input before it, and sends it before its answer. */
const delimiter = 0xff
/** The delimiter in a line that was read as UTF-8. */
const delimiterRead = '\ufffd'

/** Asks the agent to repeat the number; everything before that was the answer to another client. */
export const formatSync = (id: number): Uint8Array =>
  Buffer.concat([
    Buffer.of(delimiter),
    Buffer.from(`${JSON.stringify({ execute: 'guest-sync-delimited', arguments: { id } })}\n`),
  ])

/** Whether the line can only be the answer to a synchronization. */
export const isAfterDelimiter = (line: string): boolean => line.startsWith(delimiterRead)

export function isSyncReply(line: string, id: number): boolean {
  const from = line.lastIndexOf(delimiterRead)
  if (from < 0) return false
  try {
    const reply = parseAgentReply(line.slice(from + 1))
    return reply.kind === 'value' && reply.value === id
  } catch {
    // Garbage from an earlier client or from the guest.
    return false
  }
}
