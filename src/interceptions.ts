import type { Driver } from './driver/driver.js'
import type { Task } from './driver/task.js'
import { AlreadyExistsError, InvalidArgumentError } from './errors.js'

export type OpenDriver = (uri: URL, task: Task) => Promise<Driver>

const interceptions = new Map<string, OpenDriver>()

/** What `connect` opens for this URI instead of the host that it names, while a test wants it so. */
export const interceptionOf = (uri: string): OpenDriver | undefined => interceptions.get(uri)

/**
 * Makes `connect` open something else for exactly this URI, until the returned function is called.
 * Throws where the URI is none, or is intercepted already.
 */
export function intercept(uri: string, open: OpenDriver): () => void {
  if (!URL.canParse(uri)) throw new InvalidArgumentError({ path: 'uri', reason: `${JSON.stringify(uri)} is not a URI` })
  if (interceptions.has(uri)) {
    throw new AlreadyExistsError({
      reason: `the URI ${JSON.stringify(uri)} is intercepted already`,
      hint: 'Dispose of the interception that is there first.',
    })
  }
  interceptions.set(uri, open)
  return () => {
    if (interceptions.get(uri) === open) interceptions.delete(uri)
  }
}
