import { Readable } from 'node:stream'
import { InvalidArgumentError } from '../errors.js'
import type { ProgramInput } from '../model/exec.js'
import { endable } from './endable.js'

/** The most bytes that are passed on at once. */
const pieceBytes = 256 * 1024

/**
 * The bytes of what a caller passes in. An error of the source, or something in it that is neither text nor bytes, ends them with an
 * `InvalidArgumentError` with the cause.
 *
 * @param path the parameter: `options.input`
 */
export function bytesOf(source: ProgramInput, path: string): AsyncIterable<Uint8Array> {
  const pieces = allOf(source, path)
  return endable(pieces, () => {
    if (source instanceof Readable) source.destroy()
    // A generator of the caller that is at work ends when it gives its next piece.
    else void pieces.return()
  })
}

async function* allOf(source: ProgramInput, path: string): AsyncGenerator<Uint8Array, void, undefined> {
  if (typeof source === 'string' || source instanceof Uint8Array) {
    yield* piecesOf(toBytes(source))
    return
  }
  for await (const data of ownErrors(source, path)) {
    if (typeof data !== 'string' && !(data instanceof Uint8Array)) {
      throw new InvalidArgumentError({
        path,
        reason: `${path} must give strings or Uint8Arrays, and gave one of the type ${typeof data}`,
      })
    }
    yield* piecesOf(toBytes(data))
  }
}

async function* ownErrors(source: AsyncIterable<unknown>, path: string): AsyncGenerator {
  try {
    yield* source
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause)
    throw new InvalidArgumentError({ path, reason: `${path} failed: ${said}`, cause })
  }
}

function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
}

const toBytes = (data: string | Uint8Array): Uint8Array => (typeof data === 'string' ? Buffer.from(data) : data)
