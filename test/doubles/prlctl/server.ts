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

function serve(socket: Socket): void {
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
      write: (stream, data) => void socket.write(frame(stream === 'stdout' ? 'O' : 'R', data)),
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
      else if (type === 'I') stdin.write(data)
      else if (type === 'E') stdin.end()
      else for (const listener of listeners) listener(data.toString())
    }
  })
  // The client was killed.
  socket.on('error', () => undefined)
  socket.on('close', () => {
    stdin.end()
    isGone = true
  })
}

createServer(serve).listen(process.argv[2], () => console.log('ready'))
// It ends with the tests.
process.stdin.resume().on('end', () => process.exit(0))
