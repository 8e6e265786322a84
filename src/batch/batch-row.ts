import { inspect } from 'node:util'
import type { Result } from 'neverthrow'
import { codeOf, isCancelled, wordsOf } from './item-error.js'

/** One line of {@link BatchReport.toRows}. */
export interface BatchRow {
  /** The item's place in the list, from 0. */
  readonly index: number
  /** The item as a text: itself, its `name` if it is an object that has one, or its inspection. */
  readonly item: string
  /** How it ended; `'never started'` if the batch was stopped before its turn. */
  readonly outcome: 'succeeded' | 'failed' | 'cancelled' | 'never started'
  /** The number of attempts. */
  readonly attempts: number
  /** The id of its last job; empty if it had none. */
  readonly jobId: string
  /** The `code` of its error; empty if it has none. */
  readonly code: string
  /** The message of its error; empty if it succeeded. */
  readonly message: string
}

interface Ended {
  readonly index: number
  readonly item: unknown
  readonly jobId: string | undefined
  readonly attempts: number
  readonly result: Result<unknown, unknown>
}

export function rowOf({ index, item, jobId = '', attempts, result }: Ended): BatchRow {
  const [code, message] = result.isOk() ? ['', ''] : [codeOf(result.error), wordsOf(result.error)]
  return { index, item: titleOf(item), outcome: outcomeOf(result, attempts), attempts, jobId, code, message }
}

function outcomeOf(result: Result<unknown, unknown>, attempts: number): BatchRow['outcome'] {
  if (result.isOk()) return 'succeeded'
  if (!isCancelled(result)) return 'failed'
  return attempts === 0 ? 'never started' : 'cancelled'
}

function titleOf(item: unknown): string {
  if (typeof item === 'string') return item
  const isNamed = typeof item === 'object' && item !== null && 'name' in item && typeof item.name === 'string'
  return isNamed ? String(item.name) : inspect(item, { breakLength: Infinity })
}
