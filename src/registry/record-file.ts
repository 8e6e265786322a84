import * as v from 'valibot'
import { ProtocolError } from '../errors.js'
import { errorCode, nativeErrorOf } from '../errors/native.js'

/**
 * What a record of the registry says; nothing where it is not there any more.
 * @param read reads the file
 * @param hint what to do about a file that is not what it should be
 */
export function readRecord<S extends v.GenericSchema>(
  path: string,
  schema: S,
  { read, hint }: { readonly read: (path: string) => string; readonly hint: string },
): v.InferOutput<S> | undefined {
  try {
    return v.parse(schema, JSON.parse(read(path)))
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw new ProtocolError({
      reason: `the file ${path} is damaged`,
      hint,
      native: nativeErrorOf('registry', error),
      cause: error,
    })
  }
}
