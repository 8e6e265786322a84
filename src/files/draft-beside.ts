import { randomUUID } from 'node:crypto'
import { dirname, join } from 'node:path'

/** A temporary name beside a path of a user's own, for what is not complete yet. */
export const draftBeside = (path: string): string => join(dirname(path), `.awaitvm-${randomUUID()}`)
