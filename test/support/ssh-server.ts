import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import type { SshLogin } from '../../src/ssh/ssh-login.js'
import { within } from '../../src/testing/conformance/deadline.js'
import { freePort } from './free-port.js'
import { sshServer } from './optional-tool.js'

const run = promisify(execFile)

/** An ssh server on the loopback, with keys of its own. */
export class SshServer implements AsyncDisposable {
  readonly port: number
  /** Settings for an ssh client that may log in. */
  readonly config: string
  readonly folder: string
  readonly #process: ChildProcess

  private constructor(folder: string, port: number, process: ChildProcess) {
    this.folder = folder
    this.port = port
    this.config = join(folder, 'client')
    this.#process = process
  }

  /**
   * @param keys the host's private key, and the public key that may log in; new ones if absent
   * @param enter what starts a program where the server is to run; here if absent
   */
  static async start(
    keys?: { readonly hostKey: string; readonly authorizedKey: string },
    enter?: readonly [string, ...string[]],
  ): Promise<SshServer> {
    const folder = await mkdtemp(join(tmpdir(), 'awaitvm-sshd-'))
    const file = (name: string): string => join(folder, name)
    for (const key of ['host', 'user']) await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file(key)])
    if (keys !== undefined) {
      await writeFile(file('host'), keys.hostKey)
      await writeFile(file('user.pub'), `${keys.authorizedKey}\n`)
    }
    const port = await freePort()
    const hostKey = await readFile(file('host.pub'), 'utf8')
    await writeFile(file('known'), `[127.0.0.1]:${port} ${hostKey}`)
    await writeFile(
      file('client'),
      `Host *
  IdentityFile ${file('user')}
  IdentitiesOnly yes
  UserKnownHostsFile ${file('known')}
  StrictHostKeyChecking yes
`,
    )
    await writeFile(
      file('server'),
      `ListenAddress 127.0.0.1:${port}
HostKey ${file('host')}
AuthorizedKeysFile ${file('user.pub')}
PidFile none
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
MaxStartups 100
`,
    )
    if (userInfo().uid === 0) await mkdir('/run/sshd', { recursive: true })
    const server: [string, ...string[]] = [sshServer, '-D', '-e', '-f', file('server')]
    const [program, ...words] = enter === undefined ? server : ([...enter, ...server] as const)
    const child = spawn(program, words, { stdio: ['ignore', 'ignore', 'pipe'] })
    const started = new SshServer(folder, port, child)
    const said: string[] = []
    const listening = (async () => {
      for await (const line of createInterface({ input: child.stderr })) {
        said.push(line)
        if (line.includes('Server listening')) break
      }
      child.stderr.resume()
    })()
    await within(listening, () => `an ssh server, which said ${said.join('\n')}`)
    return started
  }

  /** How to log in to it as the user who runs the tests. */
  async login(): Promise<SshLogin & { readonly hostKey: string }> {
    const [type = '', key = ''] = (await readFile(join(this.folder, 'host.pub'), 'utf8')).split(' ')
    const privateKeyFile = join(this.folder, 'user')
    const hostKey = `${type} ${key}`
    return { host: '127.0.0.1', port: this.port, user: userInfo().username, privateKeyFile, hostKey }
  }

  /** The host of a double behind this server. */
  uriOf({ prlctl }: { readonly prlctl: string }, sshConfig = this.config): string {
    return `parallels+ssh://127.0.0.1:${this.port}?${new URLSearchParams({ prlctl, sshConfig }).toString()}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = this.#process.exitCode ?? once(this.#process, 'exit')
    this.#process.kill()
    await exited
    await rm(this.folder, { recursive: true })
  }
}
