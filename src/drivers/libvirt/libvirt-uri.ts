import { InvalidArgumentError } from '../../errors.js'
import { requireKnownOptions } from '../../model/uri-options.js'
import { decodedPart } from '../../model/uri-part.js'

/** How a daemon is reached. */
type TransportName = 'unix' | 'tcp' | 'tls' | 'ssh' | 'ext'

/** Another machine that is reached by a network. */
export interface RemoteHost {
  readonly host: string
  readonly port: number | undefined
  readonly user: string | undefined
  readonly password: string | undefined
}

/** What a URI of libvirt says. */
export interface LibvirtAddress {
  readonly transport: TransportName
  /** Absent for this machine. */
  readonly remote: RemoteHost | undefined
  /** The URI that the daemon is given: `qemu:///system`. */
  readonly name: string
  /** `'qemu'`, `'test'` */
  readonly hypervisor: string
  /** Whether the daemon is one of the user's own. */
  readonly isSession: boolean
  readonly options: Readonly<Partial<Record<string, string>>>
}

/** The options of each transport; others are refused. */
const optionsOf: Readonly<Record<TransportName, readonly string[]>> = {
  unix: ['socket', 'mode'],
  tcp: [],
  tls: ['pkipath', 'no_verify'],
  ssh: ['socket', 'mode', 'proxy', 'netcat', 'keyfile', 'command', 'no_verify', 'no_tty'],
  ext: ['command'],
}

const optionsOfAll = ['name', 'authfile']

const allowedValues: Readonly<Record<string, readonly string[]>> = {
  mode: ['auto', 'legacy', 'direct'],
  proxy: ['auto', 'netcat', 'native'],
  no_verify: ['0', '1'],
  no_tty: ['1'],
}

/** Parses `qemu:///system`, `qemu+ssh://root@host/system?keyfile=...` and so on, by the rules of libvirt. */
export function addressOf(uri: URL): LibvirtAddress {
  const [hypervisor = '', named] = uri.protocol.slice(0, -1).split('+')
  const host = decodedPart(uri.hostname, 'host').replace(/^\[(.*)\]$/, '$1')
  const transport = transportOf(named, host !== '')
  const needsHost = transport === 'tcp' || transport === 'tls' || transport === 'ssh'
  if (uri.hash !== '') throw wrong('the URI has a "#"')
  if (needsHost !== (host !== '') && transport !== 'ext') {
    throw wrong(needsHost ? `+${transport} needs a host` : 'a URI without a transport over a network has a host')
  }
  requireKnownOptions(uri, [...optionsOfAll, ...optionsOf[transport]], 'uri')
  const options = Object.fromEntries(uri.searchParams)
  requireValues(options)
  if (transport === 'ext' && options['command'] === undefined) throw wrong('+ext needs the option "command"')
  const path = decodedPart(uri.pathname, 'path')
  requirePath(hypervisor, path)
  return {
    transport,
    remote: host === '' ? undefined : { host, ...loginOf(uri, host, transport) },
    name: options['name'] ?? `${hypervisor}://${path}`,
    hypervisor,
    isSession: path === '/session',
    options,
  }
}

function transportOf(named: string | undefined, hasHost: boolean): TransportName {
  if (named === undefined) return hasHost ? 'tls' : 'unix'
  for (const name of Object.keys(optionsOf) as TransportName[]) if (name === named) return name
  throw wrong(`the transport +${named} is not known`)
}

function requireValues(options: Readonly<Record<string, string>>): void {
  for (const [option, value] of Object.entries(options)) {
    const allowed = allowedValues[option]
    if (value === '') throw wrong(`its option "${option}" must not be empty`)
    if (allowed?.includes(value) === false) throw wrong(`its option "${option}" must be ${allowed.join(' or ')}`)
  }
}

function requirePath(hypervisor: string, path: string): void {
  if (hypervisor === 'test') {
    if (path === '/default' || /^\/\/./.test(path)) return
    throw wrong('its path must be /default, or // and the path of a file: test:////etc/hosts.xml')
  }
  if (path === '/system' || path === '/session') return
  throw wrong('its path must be /system or /session', `Use ${hypervisor}:///system for the VMs of the machine.`)
}

function loginOf(uri: URL, host: string, transport: TransportName): Omit<RemoteHost, 'host'> {
  const user = uri.username === '' ? undefined : decodedPart(uri.username, 'user')
  const password = uri.password === '' ? undefined : decodedPart(uri.password, 'password')
  // ssh would take a leading dash for an option.
  if (host.startsWith('-') || user?.startsWith('-') === true) throw wrong('its host or user begins with a dash')
  if (password !== undefined && transport === 'ssh') {
    throw wrong('it has a password, which ssh does not take', 'Use a key of ssh.')
  }
  return { user, password, port: uri.port === '' ? undefined : Number(uri.port) }
}

const wrong = (reason: string, hint?: string): InvalidArgumentError =>
  new InvalidArgumentError({ path: 'uri', reason, hint })
