import * as v from 'valibot'
import { parseShallowJson } from '../model/shallow-json.js'

const messageSchema = v.record(v.string(), v.unknown())
const failureSchema = v.object({ class: v.string(), desc: v.string() })

/** One line of a guest agent: qemu/docs/interop/qemu-ga-ref. */
export type AgentReply =
  | { readonly kind: 'value'; readonly id: unknown; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: unknown; readonly class: string; readonly desc: string }

/** Throws where the line is no reply. */
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

/** A byte that no text has: the agent forgets whatever came before it, and sends it before its answer. */
const delimiter = 0xff
/** What becomes of it in a line that is read as UTF-8. */
const delimiterRead = '\ufffd'

/** Asks for the number back; what comes before that was meant for somebody else. */
export const formatSync = (id: number): Uint8Array =>
  Buffer.concat([
    Buffer.of(delimiter),
    Buffer.from(`${JSON.stringify({ execute: 'guest-sync-delimited', arguments: { id } })}\n`),
  ])

export function isSyncReply(line: string, id: number): boolean {
  const from = line.lastIndexOf(delimiterRead)
  if (from < 0) return false
  try {
    const reply = parseAgentReply(line.slice(from + 1))
    return reply.kind === 'value' && reply.value === id
  } catch {
    // Whatever else an earlier client or the guest has left there.
    return false
  }
}
