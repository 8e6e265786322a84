import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setImmediate } from 'node:timers/promises'
import { promisify } from 'node:util'
import { within } from '../../src/testing/conformance/deadline.js'
import { freePort } from './free-port.js'

const run = promisify(execFile)

/** The user of SASL, and the password. */
export const saslUser = { user: 'tester@awaitvm', password: 'secret, with = and é' } as const

/** The folders of libvirt, which are compiled in, and those of the daemon that take their place. */
const folders = [
  ['/etc/libvirt', 'etc'],
  ['/var/lib/libvirt', 'lib'],
  ['/var/cache/libvirt', 'cache'],
  ['/var/log/libvirt', 'log'],
  ['/run/libvirt', 'run'],
  ['/etc/sasl2', 'sasl'],
] as const

/**
 * Mounts the folders, and starts the daemons below a process that reaps QEMU at once: libvirt waits for that. All of it ends with its input,
 * and so with the process that runs the tests.
 */
const script = `set -e
folder=$1; shift
while [ $# -gt 0 ]; do mkdir -p "$1"; mount --bind "$folder/$2" "$1"; shift 2; done
virtlogd -d -p /run/libvirt/virtlogd.pid
libvirtd -d -l -p /run/libvirt/libvirtd.pid
echo ready
exec tini -- cat`

const configuration = (
  folder: string,
  ports: { readonly tcp: number; readonly tls: number },
  authTls: string,
): string =>
  `listen_tls = 1
listen_tcp = 1
listen_addr = "127.0.0.1"
tcp_port = "${ports.tcp}"
tls_port = "${ports.tls}"
auth_tcp = "none"
auth_tls = "${authTls}"
auth_unix_rw = "none"
auth_unix_ro = "none"
key_file = "${folder}/pki/serverkey.pem"
cert_file = "${folder}/pki/servercert.pem"
ca_file = "${folder}/pki/cacert.pem"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
`

/** Guests run as this user, and without what a container lacks. */
const qemuConfiguration = `user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = [ ]
namespaces = [ ]
`

/** What a test driver of the connection's own has at first: no VMs, and a pool for their disks. */
const nodeXml = `<node><pool type='dir'><name>default</name><target><path>/pool</path></target></pool></node>`

/** A libvirt daemon with folders and ports of its own, in namespaces that end with it. */
export class LibvirtDaemon implements AsyncDisposable {
  readonly folder: string
  readonly ports: { readonly tcp: number; readonly tls: number }
  readonly #process: ChildProcess

  private constructor(folder: string, ports: LibvirtDaemon['ports'], process: ChildProcess) {
    this.folder = folder
    this.ports = ports
    this.#process = process
  }

  /** @param authTls how clients log in over TLS, besides their certificate */
  static async start({ authTls = 'none' }: { readonly authTls?: 'none' | 'sasl' } = {}): Promise<LibvirtDaemon> {
    const folder = await mkdtemp(join(tmpdir(), 'awaitvm-lv-'))
    for (const [, name] of folders) await mkdir(join(folder, name))
    await cp('/etc/libvirt', join(folder, 'etc'), { recursive: true })
    const ports = { tcp: await freePort(), tls: await freePort() }
    await makeCertificates(join(folder, 'pki'))
    await writeFile(join(folder, 'etc/libvirtd.conf'), configuration(folder, ports, authTls))
    await writeFile(join(folder, 'etc/qemu.conf'), qemuConfiguration)
    await writeFile(
      join(folder, 'sasl/libvirt.conf'),
      `mech_list: scram-sha-256 plain\nsasldb_path: ${join(folder, 'sasl/passwd.db')}\n`,
    )
    await setPassword(join(folder, 'sasl/passwd.db'))
    await writeFile(join(folder, 'node.xml'), nodeXml)
    const mounts = folders.flatMap(([path, name]) => [path, name])
    const child = spawn(
      'unshare',
      ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', script, 'sh', folder, ...mounts],
      { stdio: 'pipe' },
    )
    const daemon = new LibvirtDaemon(folder, ports, child)
    const said: string[] = []
    child.stderr.on('data', (piece: Buffer) => said.push(piece.toString()))
    const ready = (async () => {
      for await (const line of createInterface({ input: child.stdout })) if (line === 'ready') return
      const log = await readFile(join(folder, 'log/libvirtd.log'), 'utf8').catch(() => '')
      throw new Error(`libvirtd has not started: ${said.join('')}${log.slice(-2000)}`)
    })()
    try {
      await within(ready, () => `libvirtd, which said ${said.join('')}`)
    } catch (error) {
      await daemon[Symbol.asyncDispose]()
      throw error
    }
    return daemon
  }

  /** The Unix socket, which is reached from outside of the namespaces, too. */
  get socket(): string {
    return join(this.folder, 'run/libvirt-sock')
  }

  /** The URI of a test driver with VMs of the connection's own: none at first. */
  get privateUri(): string {
    return `test:///${join(this.folder, 'node.xml')}?socket=${this.socket}`
  }

  /** Runs a program among the folders of the daemon. */
  get enter(): readonly [string, ...string[]] {
    return ['nsenter', '-t', String(this.#process.pid), '-m', '--']
  }

  /** What virsh prints. */
  async virsh(uri: string, ...words: readonly string[]): Promise<string> {
    const connection = `${uri.replace(':', '+unix:')}?socket=${this.socket}`
    return (await run('virsh', ['-q', '-c', connection, ...words])).stdout
  }

  /** Lets libvirtd do nothing more, so that calls stay under way. */
  async freeze(): Promise<void> {
    await this.#inside('kill -STOP "$(cat /run/libvirt/libvirtd.pid)"')
  }

  /** Ends libvirtd as by a crash. Its guests stay. */
  async kill(): Promise<void> {
    await this.#inside('kill -9 "$(cat /run/libvirt/libvirtd.pid)"')
  }

  /** Starts libvirtd again, and waits until it listens. */
  async restart(): Promise<void> {
    await this.#inside('exec libvirtd -d -l -p /run/libvirt/libvirtd.pid')
  }

  /** Gives QEMU's driver a pool for the disks of VMs, as installers of libvirt do. */
  async definePool(): Promise<void> {
    await this.virsh('qemu:///system', 'pool-define-as', 'default', 'dir', '--target', '/var/lib/libvirt/images')
    await this.virsh('qemu:///system', 'pool-build', 'default')
    await this.virsh('qemu:///system', 'pool-start', 'default')
    // The handles of the programs are closed at the end of a turn of the event loop, after its immediates.
    await setImmediate()
    await setImmediate()
  }

  /** The files in that pool. */
  async volumes(): Promise<string[]> {
    return (await readdir(join(this.folder, 'lib/images'))).sort()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { exitCode, signalCode } = this.#process
    if (exitCode === null && signalCode === null) {
      const exited = once(this.#process, 'exit')
      const first = await this.#firstProcess()
      if (first > 0) process.kill(first, 'SIGKILL')
      else this.#process.kill('SIGKILL')
      await exited
    }
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }

  async #inside(script: string): Promise<void> {
    const pid = String(await this.#firstProcess())
    await run('nsenter', ['-t', pid, '-m', '-p', '--', 'sh', '-c', script])
  }

  /** The first process of the namespace, with which all others end; 0 if it is gone. */
  async #firstProcess(): Promise<number> {
    const pid = String(this.#process.pid)
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
    return Number(children.trim().split(' ')[0])
  }
}

async function setPassword(file: string): Promise<void> {
  const [name = '', realm = ''] = saslUser.user.split('@')
  const child = spawn('saslpasswd2', ['-p', '-c', '-f', file, '-u', realm, '-a', 'libvirt', name], { stdio: 'pipe' })
  child.stdin.end(saslUser.password)
  const [code] = (await once(child, 'exit')) as [number]
  if (code !== 0) throw new Error(`saslpasswd2 has failed with ${code}`)
}

/** An authority, a certificate of the daemon and one of a client. libvirt 9 takes RSA only. */
async function makeCertificates(folder: string): Promise<void> {
  await mkdir(folder)
  const path = (name: string): string => join(folder, name)
  const make = async (name: string, template: string, signer: readonly string[]): Promise<void> => {
    await writeFile(path(`${name}.info`), `${template}\nexpiration_days=30\n`)
    await run('certtool', [
      '--generate-privkey',
      '--key-type',
      'rsa',
      '--bits',
      '2048',
      '--outfile',
      path(`${name}key.pem`),
    ])
    const own = ['--load-privkey', path(`${name}key.pem`), '--template', path(`${name}.info`)]
    await run('certtool', [...signer, ...own, '--outfile', path(`${name}cert.pem`)])
  }
  const byAuthority = [
    '--generate-certificate',
    '--load-ca-certificate',
    path('cacert.pem'),
    '--load-ca-privkey',
    path('cakey.pem'),
  ]
  await make('ca', 'cn=awaitvm test CA\nca\ncert_signing_key', ['--generate-self-signed'])
  const forTls = 'signing_key\nencryption_key'
  await make('server', `cn=awaitvm\nip_address=127.0.0.1\ntls_www_server\n${forTls}`, byAuthority)
  await make('client', `cn=client\ntls_www_client\n${forTls}`, byAuthority)
}
