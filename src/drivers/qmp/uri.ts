import { fileURLToPath } from 'node:url'
import { InvalidArgumentError } from '../../errors.js'
import { requireKnownOptions } from '../../model/uri-options.js'
import { accelerators, type Accelerator } from './process/accelerator.js'

/** The parts of `qmp:///dir?accel=tcg`. */
export interface QmpUri {
  readonly directory: string
  readonly accelerator: Accelerator | undefined
}

/** @param path the parameter that has the URI, for the error */
export function parseQmpUri(uri: URL, path: string): QmpUri {
  return { directory: directoryOf(uri, path), accelerator: acceleratorOf(uri, path) }
}

function directoryOf(uri: URL, path: string): string {
  if (uri.host !== '' || uri.hash !== '' || !uri.pathname.startsWith('/')) throw malformed(uri, path)
  try {
    return fileURLToPath(`file://${uri.pathname}`)
  } catch (cause) {
    throw malformed(uri, path, cause)
  }
}

function acceleratorOf(uri: URL, path: string): Accelerator | undefined {
  requireKnownOptions(uri, ['accel'], path)
  const named = uri.searchParams.get('accel')
  if (named === null) return undefined
  const accelerator = accelerators.find((known) => known === named)
  if (accelerator !== undefined) return accelerator
  throw new InvalidArgumentError({
    path,
    reason: `the URI names the accelerator ${JSON.stringify(named)}`,
    hint: `Known are: ${accelerators.join(', ')}.`,
  })
}

const malformed = (uri: URL, path: string, cause?: unknown): InvalidArgumentError =>
  new InvalidArgumentError({
    path,
    reason: `${uri.href} is not qmp:///DIRECTORY`,
    hint: 'Three slashes and an absolute path name a directory: qmp:///var/lib/vms, or qmp:///var/lib/vms?accel=tcg.',
    cause,
  })
