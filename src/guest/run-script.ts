import type { Sink } from '../driver/program-io.js'
import { HostError, ProtocolError, type VmError } from '../errors.js'
import { guestFailure, type ScriptFailure } from './guest-failure.js'
import type { GuestWay } from './guest-way.js'
import { ByteChannel } from './byte-channel.js'
import { shell } from './wrapped-program.js'

/** How much of the standard error is kept, the end. */
const maxErrorBytes = 4096
/** How much a script may answer, if it does not say otherwise. */
const maxAnswerBytes = 64 * 1024

/** A guest that an operation works in. */
export interface InGuest {
  readonly way: GuestWay
  /** The code of the operation. */
  readonly operation: string
  /** Ends what runs. */
  readonly signal: AbortSignal
}

/** A script of the SDK, for a POSIX shell. */
export interface Script {
  readonly text: string
  readonly args: readonly string[]
  readonly input?: AsyncIterable<Uint8Array> | undefined
  readonly isHarmless?: boolean | undefined
  readonly isBulk?: boolean | undefined
}

/** How the messages of programs are to be: those that are known. */
const inEnglish = 'LC_ALL=C; export LC_ALL\n'

/** Runs a script. Its output goes to the sink, and the end of its standard error is in the result. */
async function run(
  { way, signal }: Pick<InGuest, 'way' | 'signal'>,
  { text, args, input, ...traits }: Script,
  output: Sink,
): Promise<ScriptFailure> {
  let stderr: Buffer = Buffer.alloc(0)
  const end = await way.run(
    { argv: [shell, '-c', inEnglish + text, 'sh', ...args], ...traits },
    {
      input,
      output: (stream, bytes) => {
        if (stream === 'stdout') return output(bytes)
        stderr = Buffer.concat([stderr, bytes]).subarray(-maxErrorBytes)
      },
      begun: () => undefined,
    },
    signal,
  )
  // A program that is ended may fail before the way says that it was cancelled.
  if (end.exitCode !== 0) signal.throwIfAborted()
  if (end.isTruncated === true) throw lost(way)
  if (end.signal !== undefined) {
    throw new HostError({
      reason: `${end.signal} ended the shell in the guest`,
      native: { driver: way.driver, code: end.signal, message: stderr.toString() },
    })
  }
  return { exitCode: end.exitCode, stderr: stderr.toString() }
}

/** Runs a script whose answer is short, to its end. Returns the answer, and how it has ended. */
export async function tryScript(
  guest: InGuest,
  script: Script,
  { maxBytes = maxAnswerBytes } = {},
): Promise<ScriptFailure & { readonly stdout: Buffer }> {
  const pieces: Uint8Array[] = []
  let size = 0
  const tooMuch = new AbortController()
  const signal = AbortSignal.any([guest.signal, tooMuch.signal])
  const end = await run({ way: guest.way, signal }, script, (bytes) => {
    size += bytes.byteLength
    if (size <= maxBytes) pieces.push(bytes)
    else tooMuch.abort(new ProtocolError({ reason: `the guest answers with more than ${maxBytes} bytes` }))
  }).finally(() => {
    tooMuch.signal.throwIfAborted()
  })
  return { ...end, stdout: Buffer.concat(pieces) }
}

/**
 * Runs a script whose answer is short. Returns the answer.
 *
 * @param path the file in the guest that the script is about
 * @throws GuestFileError or another error for a script that fails, by the last line of its standard error
 */
export async function runScript(
  guest: InGuest,
  path: string,
  script: Script,
  options?: { readonly maxBytes: number },
): Promise<Buffer> {
  const { stdout, ...end } = await tryScript(guest, script, options)
  requireSuccess(guest, path, end)
  return stdout
}

/**
 * Runs a script, and reads its output while it runs. If the reader rejects, the script is ended.
 *
 * @param read gets the output, and what resolves when the script has ended well: until then it may fail, or be cancelled
 * @param mayGoOn whether the script may write more than is read: it is ended then
 */
export async function readScript<T>(
  guest: InGuest,
  path: string,
  script: Script,
  read: (output: AsyncIterable<Uint8Array>, untilEnd: () => Promise<void>) => Promise<T>,
  { mayGoOn = false } = {},
): Promise<T> {
  const output = new ByteChannel()
  const stop = new AbortController()
  const signal = AbortSignal.any([guest.signal, stop.signal])
  const ended = run({ way: guest.way, signal }, script, (bytes) => output.push(bytes)).then(
    (end) => {
      output.end(end.exitCode === 0 ? {} : { error: failure(guest, path, end) })
    },
    (error: unknown) => {
      output.end({ error })
    },
  )
  const end = async (reason: unknown): Promise<void> => {
    stop.abort(reason)
    output.close()
    await ended
  }
  const untilEnd = async (): Promise<void> => {
    for await (const { byteLength } of output) {
      if (byteLength === 0) continue
      if (!mayGoOn) throw new ProtocolError({ reason: 'the guest sends more than it has announced' })
      await end(new Error('what was wanted has come'))
    }
  }
  try {
    const result = await read(output, untilEnd)
    await untilEnd()
    return result
  } catch (error) {
    await end(error)
    throw error
  }
}

/** Throws for a script that has failed, by the last line of its standard error. */
export function requireSuccess(guest: InGuest, path: string, end: ScriptFailure): void {
  if (end.exitCode !== 0) throw failure(guest, path, end)
}

const failure = ({ way, operation }: InGuest, path: string, end: ScriptFailure): VmError =>
  guestFailure(end, { path, operation, driver: way.driver })

/** Error for bytes that did not reach the other side. */
export const lost = ({ driver }: GuestWay, cause?: unknown): HostError =>
  new HostError({
    reason: 'a part of the data was lost on the way, or the file was changed while it was read',
    hint: 'Try again.',
    native: { driver, message: 'data is missing' },
    cause,
  })
