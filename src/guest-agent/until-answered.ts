import { AnswerLostError } from './agent-errors.js'

const maxAttempts = 5

/** Does what may be done twice, and does it again if an answer of the agent gets lost. */
export async function untilAnswered<T>(attempt: () => Promise<T>): Promise<T> {
  for (let attempts = 1; ; attempts += 1) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof AnswerLostError) || attempts === maxAttempts) throw error
    }
  }
}
