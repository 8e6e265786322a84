import * as v from 'valibot'
import { ProtocolError } from '../errors.js'
import type { Agent } from './agent.js'
import { guestWords } from './agent-errors.js'

/**
 * Executes a command, and checks the shape of the answer.
 *
 * @throws ProtocolError if the answer has another one
 */
export async function ask<Schema extends v.GenericSchema>(
  agent: Agent,
  schema: Schema,
  command: string,
  args?: Readonly<Record<string, unknown>>,
  timeoutMs?: number,
): Promise<v.InferOutput<Schema>> {
  const answer = v.safeParse(schema, await agent.execute(command, args, timeoutMs))
  if (!answer.success) throw wrongAnswer(command, v.summarize(answer.issues))
  return answer.output
}

export const wrongAnswer = (command: string, problem: string): ProtocolError =>
  new ProtocolError({
    reason: `the agent in the guest gave an answer to ${command} that means nothing: ${guestWords(problem)}`,
  })
