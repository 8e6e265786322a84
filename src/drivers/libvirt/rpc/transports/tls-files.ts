import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { errorCode } from '../../../../errors/native.js'
import { AuthenticationError } from '../../../../errors.js'

/** What TLS needs: the certificate of the authority, revoked ones, and this client's certificate with its key. */
export interface Certificates {
  readonly ca: Buffer
  readonly crl?: Buffer
  readonly cert?: Buffer
  readonly key?: Buffer
}

/** Places of libvirt's certificates, the first of which that has them is used. */
interface Place {
  readonly ca: string
  readonly crl: string
  readonly cert: string
  readonly key: string
}

const inOneFolder = (folder: string): Place => ({
  ca: join(folder, 'cacert.pem'),
  crl: join(folder, 'cacrl.pem'),
  cert: join(folder, 'clientcert.pem'),
  key: join(folder, 'clientkey.pem'),
})

const ofTheMachine: Place = {
  ca: '/etc/pki/CA/cacert.pem',
  crl: '/etc/pki/CA/cacrl.pem',
  cert: '/etc/pki/libvirt/clientcert.pem',
  key: '/etc/pki/libvirt/private/clientkey.pem',
}

/** Certificates are short. */
const maxBytes = 2 ** 20

/** Reads the certificates where libvirt's own client looks for them; the user root has none of its own. */
export async function readCertificates(pkipath: string | undefined): Promise<Certificates> {
  const own = process.geteuid?.() === 0 ? [] : [inOneFolder(join(homedir(), '.pki', 'libvirt'))]
  const places = pkipath === undefined ? [...own, ofTheMachine] : [inOneFolder(pkipath)]
  const ca = await first(places.map((place) => [place.ca]))
  if (ca === undefined) {
    throw new AuthenticationError({
      reason: `the certificate of the authority is not at ${places.map((place) => place.ca).join(' or ')}`,
      hint: 'Put cacert.pem, clientcert.pem and clientkey.pem there, or name their folder with ?pkipath=.',
    })
  }
  const crl = await first(places.map((place) => [place.crl]))
  // A certificate and its key are used together, or neither.
  const pair = await first(places.map(({ cert, key }) => [cert, key]))
  return {
    ca: ca[0],
    ...(crl !== undefined && { crl: crl[0] }),
    ...(pair !== undefined && { cert: pair[0], key: pair[1] }),
  }
}

type Contents = readonly [Buffer, Buffer]

/** The content of the first group of files that are all there. */
async function first(groups: readonly (readonly string[])[]): Promise<Contents | undefined> {
  for (const paths of groups) {
    const [one, other = one] = await Promise.all(paths.map(read))
    if (one !== undefined && other !== undefined) return [one, other]
  }
  return undefined
}

async function read(path: string): Promise<Buffer | undefined> {
  const content = await readFile(path).catch((cause: unknown) => {
    if (errorCode(cause) === 'ENOENT') return undefined
    throw new AuthenticationError({ reason: `${path} can't be read`, cause })
  })
  if (content !== undefined && content.length > maxBytes) {
    throw new AuthenticationError({ reason: `${path} is too large for a certificate` })
  }
  return content
}
