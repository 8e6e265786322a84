import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import ssh2, { type Connection, type Session } from 'ssh2'
import { publicKey } from '../../src/ssh/host-key.js'

interface FakeSshOptions {
  /** Sessions that it takes on a connection. */
  readonly maxSessions: number
}

/**
 * An ssh server that lets everybody in and runs commands on this machine. It counts sessions as OpenSSH does: until after all that has
 * arrived together with the end of the channel.
 */
export class FakeSshServer implements AsyncDisposable {
  readonly hostKey: string
  readonly #server: ssh2.Server
  readonly #connections = new Set<Connection>()

  private constructor({ maxSessions }: FakeSshOptions) {
    // The library can't read some of the keys of type ed25519 that it makes.
    const keys = ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 })
    const key = ssh2.utils.parseKey(keys.private)
    if (key instanceof Error) throw key
    this.hostKey = publicKey(key.getPublicSSH())
    this.#server = new ssh2.Server({ hostKeys: [keys.private] }, (connection) => {
      let sessions = 0
      this.#connections.add(connection)
      connection.on('error', () => undefined)
      connection.on('close', () => this.#connections.delete(connection))
      connection.on('authentication', (context) => {
        context.accept()
      })
      connection.on('request', (_accept, reject) => {
        reject?.()
      })
      connection.on('session', (accept, reject) => {
        if (sessions >= maxSessions) {
          reject()
          return
        }
        sessions += 1
        const session = accept()
        session.on('close', () => setImmediate(() => (sessions -= 1)))
        runCommands(session)
      })
    })
  }

  static async start(options: FakeSshOptions): Promise<FakeSshServer> {
    const fake = new FakeSshServer(options)
    fake.#server.listen(0, '127.0.0.1')
    await once(fake.#server, 'listening')
    return fake
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const connection of this.#connections) connection.end()
    await closed
  }
}

function runCommands(session: Session): void {
  session.on('exec', (accept, _reject, { command }) => {
    const channel = accept()
    const program = spawn('/bin/sh', ['-c', command])
    // Not by a pipe, which stops at the end of the program: a channel whose own end is not read keeps its session.
    channel.on('data', (chunk: Buffer) => program.stdin.write(chunk))
    channel.on('end', () => program.stdin.end())
    program.stdin.on('error', () => undefined)
    program.stdout.pipe(channel, { end: false })
    program.stderr.pipe(channel.stderr, { end: false })
    program.on('close', (code, signal) => {
      if (code === null) channel.exit(String(signal).slice('SIG'.length))
      else channel.exit(code)
      channel.close()
    })
  })
}
