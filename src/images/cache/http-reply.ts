import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { ConnectionError, InvalidArgumentError, JobCancelledError } from '../../errors.js'
import { errorCode, nativeErrorOf } from '../../errors/native.js'

/** More than any vendor's mirrors take. */
const maxRedirects = 10
/** How long a server may send nothing. */
const maxSilenceMs = 60_000

export interface RequestOptions {
  /** The parameter with the URL, for errors. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly signal: AbortSignal
  /** Called for each answer, whatever it says. */
  readonly onAnswer?: (() => void) | undefined
  /** For tests: one minute if absent. */
  readonly maxSilenceMs?: number | undefined
}

/** What a server answers. Its content is as on the wire: a coding for the transfer would hide what the checksum is of. */
export interface HttpReply {
  readonly status: number
  header(name: string): string | undefined
  /** The content, once. It rejects with a `ConnectionError` if the server breaks off or goes silent. */
  content(): AsyncGenerator<Buffer, void>
  /** Gives the connection up. */
  close(): void
}

/** A URL for messages and records: without its name, password and query, which may be secrets. */
export function shownUrl(url: string | URL): string {
  const { protocol, host, pathname, search } = new URL(url)
  return `${protocol}//${host}${pathname}${search === '' ? '' : '?…'}`
}

/**
 * Asks for a URL, and follows redirects. Throws an `InvalidArgumentError` if the server refuses (4xx) or redirects without end or from
 * https to http, and a `ConnectionError`, which is retryable, if it can't be reached, is silent or fails.
 */
export async function askFor(start: URL, options: RequestOptions): Promise<HttpReply> {
  let url = start
  for (let redirects = 0; ; redirects += 1) {
    const reply = await send(url, options)
    const { status } = reply
    const location = reply.header('location')
    if (status >= 300 && status < 400 && location !== undefined) {
      reply.close()
      if (redirects === maxRedirects) throw refused(start, options, `redirects more than ${String(maxRedirects)} times`)
      url = redirected(url, location, options)
      continue
    }
    if (status === 200 || status === 206 || status === 416) return reply
    reply.close()
    const answer = `answers with the status ${String(status)}`
    // 408 and 429 say that the server has no time now.
    if (status >= 400 && status < 500 && status !== 408 && status !== 429) throw refused(url, options, answer)
    throw failed(url, answer)
  }
}

function redirected(from: URL, location: string, options: RequestOptions): URL {
  const shown = JSON.stringify(location.slice(0, 200))
  if (!URL.canParse(location, from.href)) throw refused(from, options, `redirects to ${shown}, which is no URL`)
  const to = new URL(location, from)
  if (to.protocol !== 'https:' && (to.protocol !== 'http:' || from.protocol === 'https:')) {
    throw refused(from, options, `redirects from ${from.protocol} to ${to.protocol}`)
  }
  if (to.origin === from.origin && to.username === '') {
    to.username = from.username
    to.password = from.password
  }
  return to
}

function send(url: URL, options: RequestOptions): Promise<HttpReply> {
  const { signal, headers, onAnswer, maxSilenceMs: silenceMs = maxSilenceMs } = options
  signal.throwIfAborted()
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, {
      // A connection of its own, which nothing keeps open afterwards.
      agent: false,
      headers: { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'awaitvm', ...headers },
      signal,
    })
    const silence = setTimeout(() => request.destroy(silent(url, silenceMs)), silenceMs)
    request.once('response', (response) => {
      clearTimeout(silence)
      onAnswer?.()
      resolve(new Reply(url, response, signal, silenceMs))
    })
    request.on('error', (error) => {
      clearTimeout(silence)
      reject(explained(url, error, { signal, doing: 'not answered' }))
    })
    request.end()
  })
}

class Reply implements HttpReply {
  readonly #url: URL
  readonly #response: IncomingMessage
  readonly #signal: AbortSignal
  readonly #silenceMs: number

  constructor(url: URL, response: IncomingMessage, signal: AbortSignal, silenceMs: number) {
    this.#url = url
    this.#response = response
    this.#signal = signal
    this.#silenceMs = silenceMs
    // An error before the content is read is thrown when it is read.
    response.on('error', () => undefined)
  }

  get status(): number {
    return this.#response.statusCode ?? 0
  }

  header(name: string): string | undefined {
    const value = this.#response.headers[name]
    return typeof value === 'string' ? value : undefined
  }

  async *content(): AsyncGenerator<Buffer, void> {
    const chunks: AsyncIterator<unknown, unknown> = this.#response[Symbol.asyncIterator]()
    try {
      for (;;) {
        const { done, value } = await this.#unlessSilent(chunks.next())
        if (done === true) break
        if (Buffer.isBuffer(value)) yield value
      }
      if (!this.#response.complete) throw failed(this.#url, 'broke off')
    } catch (error) {
      throw explained(this.#url, error, { signal: this.#signal, doing: 'not sent all of it' })
    } finally {
      this.close()
    }
  }

  close(): void {
    this.#response.destroy()
  }

  /** The time while the consumer works does not count. */
  async #unlessSilent<T>(next: Promise<T>): Promise<T> {
    const silence = setTimeout(() => this.#response.destroy(silent(this.#url, this.#silenceMs)), this.#silenceMs)
    try {
      return await next
    } finally {
      clearTimeout(silence)
    }
  }
}

const silent = (url: URL, silenceMs: number): ConnectionError =>
  failed(url, `has sent nothing for ${String(silenceMs / 1000)} s`)

const tryAgain = 'Try again later: what was fetched is kept, and the next attempt goes on from there.'

/** A failure that may pass. */
export const failed = (
  url: URL,
  what: string,
  { cause, hint = tryAgain }: { readonly cause?: Error | undefined; readonly hint?: string | undefined } = {},
): ConnectionError =>
  new ConnectionError({
    reason: `the server of ${shownUrl(url)} ${what}`,
    hint,
    cause,
    native: cause && { ...nativeErrorOf('http', cause), message: wordsOf(cause) },
  })

const refused = (url: URL, { path }: RequestOptions, what: string): InvalidArgumentError =>
  new InvalidArgumentError({
    path,
    reason: `${path} can't be fetched: the server of ${shownUrl(url)} ${what}`,
    hint: 'Check the URL.',
  })

interface Asking {
  readonly signal: AbortSignal
  /** What the server has done so far. */
  readonly doing: string
}

function explained(url: URL, error: unknown, { signal, doing }: Asking): Error {
  const reason: unknown = signal.reason
  if (reason instanceof Error) return stopped(reason, failed(url, `had ${doing} when it was stopped`))
  if (error instanceof ConnectionError || error instanceof InvalidArgumentError) return error
  const cause = error instanceof Error ? error : new Error(String(error))
  const why = wordsOf(cause)
  const [, what, hint] = causes.find(({ 0: codes }) => codes.test(errorCode(cause) ?? '')) ?? []
  return failed(url, `${what ?? "can't be read from"} (${why})`, { cause, hint })
}

/** An error of one of several addresses has no words of its own. */
const wordsOf = (error: Error): string =>
  error instanceof AggregateError
    ? error.errors.map((each: unknown) => (each instanceof Error ? each.message : String(each))).join(', ')
    : error.message

/** Why a server can't be reached, by the code of Node's error, and what to do. */
const causes: readonly (readonly [codes: RegExp, what: string, hint: string])[] = [
  [/^ECONNREFUSED$/, "can't be reached: nothing listens there", 'Check the URL, and that its server runs.'],
  [/^ENOTFOUND$|^EAI_/, "can't be found by its name", 'Check the URL, and the network of this computer.'],
  [
    /^(?:CERT|ERR_TLS_CERT|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED)_/,
    'has a certificate that is not trusted',
    'Check the URL and the clock. For an authority of your own, name its certificate in NODE_EXTRA_CA_CERTS.',
  ],
]

/**
 * The error of work that was stopped, with what has failed before: who set a time limit wants to know what the time was spent on. One
 * that ends for another reason stays as it is.
 */
export const stopped = (reason: unknown, failure: ConnectionError): Error =>
  reason instanceof JobCancelledError
    ? new JobCancelledError({
        reason: reason.reason,
        hint: `Before that, ${failure.reason}.`,
        native: failure.native,
        cause: failure,
      })
    : reason instanceof Error
      ? reason
      : failure
