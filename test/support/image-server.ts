import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** An HTTP server on this machine that has one image, and answers as a test wants it to. */
export class ImageServer implements AsyncDisposable {
  content: Buffer
  etag = '"one"'
  /** What it does with the requests to come, in their order; those beyond get what they ask for. */
  readonly answers: Answer[] = []
  /** The ranges that were asked for: `undefined` for the whole image. */
  readonly ranges: (string | undefined)[] = []
  readonly authorizations: (string | undefined)[] = []
  readonly #server: Server
  /** Answers that are not complete, and how much of them was sent. */
  readonly #held: { readonly response: ServerResponse; readonly sent: number }[] = []
  #wake: (() => void) | undefined

  private constructor(content: Buffer) {
    this.content = content
    this.#server = createServer((request, response) => {
      this.ranges.push(request.headers.range)
      this.authorizations.push(request.headers.authorization)
      const answer = this.answers.shift() ?? this.whole
      answer(request, response)
      this.#wake?.()
    })
  }

  /** @param port any that is free if absent */
  static async listen(content: Buffer, port = 0): Promise<ImageServer> {
    const server = new ImageServer(content)
    server.#server.listen(port, '127.0.0.1')
    await once(server.#server, 'listening')
    return server
  }

  url(path = '/images/disk.raw'): string {
    return `http://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}${path}`
  }

  get sha256(): string {
    return createHash('sha256').update(this.content).digest('hex')
  }

  /** Waits until so many requests have come. */
  async asked(times: number): Promise<void> {
    while (this.ranges.length < times) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Answers with the image, or the part that is asked for if it is still the same image. */
  readonly whole: Answer = ({ headers }, response) => {
    const [, start] = /^bytes=(\d+)-$/.exec(headers.range ?? '') ?? []
    const isRest = start !== undefined && headers['if-range'] === this.etag
    const from = isRest ? Number(start) : 0
    response.writeHead(isRest ? 206 : 200, {
      'content-length': this.content.length - from,
      etag: this.etag,
      ...(isRest && {
        'content-range': `bytes ${String(from)}-${String(this.content.length - 1)}/${String(this.content.length)}`,
      }),
    })
    response.end(this.content.subarray(from))
  }

  /** Sends so many bytes of the whole image, and then nothing, until the answer is broken off. */
  readonly part =
    (bytes: number, headers: Readonly<Record<string, string>> = { etag: this.etag }): Answer =>
    (_request, response) => {
      response.writeHead(200, { 'content-length': this.content.length, ...headers })
      response.write(this.content.subarray(0, bytes))
      this.#held.push({ response, sent: bytes })
    }

  /** Sends nothing at all. */
  readonly silence: Answer = (_request, response) => void this.#held.push({ response, sent: 0 })

  /** Closes the connections of answers that are not complete. */
  readonly breakOff = (): void => {
    for (const { response } of this.#held.splice(0)) response.destroy()
  }

  /** Completes the answers that wait. */
  readonly goOn = (): void => {
    for (const { response, sent } of this.#held.splice(0)) response.end(this.content.subarray(sent))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.breakOff()
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

export const status =
  (code: number, headers: Readonly<Record<string, string>> = {}): Answer =>
  (_request, response) => {
    response.writeHead(code, headers).end()
  }
