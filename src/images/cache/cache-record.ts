import type * as v from 'valibot'
import { errorCode } from '../../errors/native.js'
import { readOwnFile } from '../../registry/own-file.js'
import { FormatError, parseJson } from '../../registry/written-json.js'

const maxBytes = 64 * 1024

/** A record of the cache, if it is there. One that is damaged counts as missing: what it is about is fetched again. */
export function readRecord<S extends v.GenericSchema>(path: string, schema: S): v.InferOutput<S> | undefined {
  try {
    return parseJson(schema, readOwnFile(path, maxBytes))
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || error instanceof FormatError) return undefined
    throw error
  }
}
