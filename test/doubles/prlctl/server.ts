// The dispatcher of the double: serves its clients, the prlctls, on the given socket.
import { existsSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { execute } from './execute.js'
import { terminals, type Terminal } from './terminal.js'

function frame(type: string, data: string | Buffer): Buffer {
  const payload = Buffer.from(data)
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeUInt32BE(payload.length, 1)
  return Buffer.concat([head, payload])
}

/** Bytes of an output that the client may have, and has not written yet. */
const window = 65_536

/** The output of a client; `write` waits while the client's reader does. */
class Output {
  readonly #socket: Socket
  readonly #type: string
  #ahead = 0
  #wake: (() => void)[] = []

  constructor(socket: Socket, type: string) {
    this.#socket = socket
    this.#type = type
  }

  async write(data: string | Buffer): Promise<void> {
    this.#socket.write(frame(this.#type, data))
    this.#ahead += Buffer.byteLength(data)
    while (this.#ahead > window && !this.#socket.destroyed)
      await new Promise<void>((resolve) => this.#wake.push(resolve))
  }

  taken(bytes: number): void {
    this.#ahead -= bytes
    for (const wake of this.#wake.splice(0)) wake()
  }
}

function serve(socket: Socket): void {
  const outputs = { O: new Output(socket, 'O'), R: new Output(socket, 'R') }
  const stdin = new PassThrough()
  const listeners = new Set<(signal: string) => void>()
  let input = Buffer.alloc(0)
  let isGone = false
  const begin = (words: string): void => {
    const [pid = '', program = '', folder = '', machine = '', ...args] = words.split('\0')
    const terminal: Terminal = {
      pid: Number(pid),
      machine,
      stdin,
      write: (stream, data) => outputs[stream === 'stdout' ? 'O' : 'R'].write(data),
      isGone: () => isGone,
      onSignal: (listener) => void listeners.add(listener),
    }
    void terminals
      .run(terminal, () => execute(program, folder, args))
      .then(
        (code) => socket.end(frame('X', String(code))),
        (error: unknown) => {
          // After the end of a client, the test may have removed everything.
          if (!isGone && existsSync(folder)) console.error(error)
          socket.destroy()
        },
      )
  }
  socket.on('data', (piece: Buffer) => {
    input = Buffer.concat([input, piece])
    while (input.length >= 5 && input.length >= 5 + input.readUInt32BE(1)) {
      const end = 5 + input.readUInt32BE(1)
      const type = input.toString('latin1', 0, 1)
      const data = input.subarray(5, end)
      input = input.subarray(end)
      if (type === 'A') begin(data.toString())
      else if (type === 'I') stdin.write(data, () => socket.write(frame('C', '')))
      else if (type === 'T')
        outputs[data.toString('latin1', 0, 1) as 'O' | 'R'].taken(Number(data.toString('latin1', 1)))
      else if (type === 'E') stdin.end()
      else for (const listener of listeners) listener(data.toString())
    }
  })
  // The client was killed.
  socket.on('error', () => undefined)
  socket.on('close', () => {
    stdin.end()
    isGone = true
    for (const output of Object.values(outputs)) output.taken(0)
  })
}

createServer(serve).listen(process.argv[2], () => console.log('ready'))
// It ends with the tests.
process.stdin.resume().on('end', () => process.exit(0))
