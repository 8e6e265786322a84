import { inspect } from 'node:util'
import { InvalidArgumentError } from '../errors.js'
import type { BatchOptions } from './batch-options.js'
import { located, wordsOf } from './item-error.js'

/** Where an item stands in line. */
export interface ItemPlace {
  readonly host: unknown
  readonly priority: number | undefined
}

/** Asks the functions of the user, either of which may fail. */
export function placeOf<Item>(
  item: Item,
  { hostOf, priority, perHostConcurrency }: Pick<BatchOptions<Item>, 'hostOf' | 'priority' | 'perHostConcurrency'>,
): ItemPlace | InvalidArgumentError {
  try {
    return {
      host: perHostConcurrency === undefined ? undefined : hostOf?.(item),
      priority: priority === undefined ? undefined : checkedPriority(priority(item)),
    }
  } catch (cause) {
    const reason = `an item can't be put in line: ${wordsOf(cause)}`
    return located(new InvalidArgumentError({ path: 'options', reason, cause }))
  }
}

function checkedPriority(priority: unknown): number {
  // p-queue subtracts priorities, and Infinity - Infinity is NaN.
  if (typeof priority === 'number' && !Number.isNaN(priority)) {
    return Math.min(Number.MAX_VALUE, Math.max(-Number.MAX_VALUE, priority))
  }
  throw new TypeError(`its priority must be a number, and is ${inspect(priority)}`)
}
