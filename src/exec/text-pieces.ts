import type { ProgramOutput } from '../model/exec.js'

/** Turns output into text, or leaves it as bytes. */
export interface Encoding<Output extends string | Uint8Array> {
  /** All of an output. */
  readonly whole: (bytes: Uint8Array) => Output
  /** A reader of pieces, which holds back bytes that are a part of a character. */
  readonly pieces: () => Pieces<Output>
}

/** Reads the pieces of both outputs. */
interface Pieces<Output extends string | Uint8Array> {
  /** The piece, unless nothing is left of it. */
  next(stream: 'stdout' | 'stderr', bytes: Uint8Array): ProgramOutput<Output> | undefined
  /** What was held back. */
  rest(): readonly ProgramOutput<Output>[]
}

/** Output as bytes. */
export const asBytes: Encoding<Uint8Array> = {
  whole: (bytes) => new Uint8Array(bytes),
  pieces: () => ({
    next: (stream, data) => ({ stream, data }),
    rest: () => [],
  }),
}

/** Output as text in UTF-8. */
export const asText: Encoding<string> = {
  whole: (bytes) => decoder().decode(bytes),
  pieces() {
    const decoders = { stdout: decoder(), stderr: decoder() }
    const decode = (stream: 'stdout' | 'stderr', bytes: Uint8Array | undefined): ProgramOutput<string> | undefined => {
      const data = decoders[stream].decode(bytes, { stream: bytes !== undefined })
      return data === '' ? undefined : { stream, data }
    }
    return {
      next: decode,
      rest: () => [decode('stdout', undefined), decode('stderr', undefined)].filter((piece) => piece !== undefined),
    }
  },
}

/** A mark at the beginning is a part of the text. */
const decoder = () => new TextDecoder('utf-8', { ignoreBOM: true })
