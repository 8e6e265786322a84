import { connect, type TLSSocket } from 'node:tls'
import { errorCode, nativeErrorOf } from '../../../../errors/native.js'
import { AuthenticationError, ConnectionError, type VmError } from '../../../../errors.js'
import type { LibvirtAddress, RemoteHost } from '../../libvirt-uri.js'
import { separate, type Dialer } from './dialer.js'
import { connectSocket, untilReady } from './socket.js'
import { readCertificates } from './tls-files.js'

/** `LIBVIRTD_TLS_PORT` */
const usualPort = 16_514

/** The byte by which a daemon says that it takes the client's certificate. */
const accepted = 1

/** Connects with TLS, and certificates on both sides. */
export function tlsDialer({ host, port = usualPort }: RemoteHost, { options }: LibvirtAddress): Dialer {
  return separate(async (signal) => {
    const certificates = await readCertificates(options['pkipath'])
    const socket = await connectSocket({ host, port }, signal, {
      what: `port ${String(port)} of ${host}`,
      hint: 'libvirtd must be started with --listen, or virtproxyd-tls.socket. +ssh needs nothing of that.',
    })
    const tls = connect({ socket, host, ...certificates, rejectUnauthorized: options['no_verify'] !== '1' })
    tls.once('close', () => socket.destroy())
    await untilReady(tls, 'secureConnect', signal, (error) => handshakeError(error, host))
    await untilAccepted(tls, signal)
    return tls
  })
}

/** With TLS 1.3, a client learns only after the handshake whether its certificate was taken. */
async function untilAccepted(tls: TLSSocket, signal: AbortSignal): Promise<void> {
  await untilReady(tls, 'readable', signal, certificateRefused)
  const byte: unknown = tls.read(1)
  if (Buffer.isBuffer(byte) && byte[0] === accepted) return
  tls.destroy()
  throw certificateRefused()
}

const certificateRefused = (cause?: unknown): AuthenticationError =>
  new AuthenticationError({
    reason: "the host does not accept this client's certificate",
    hint: 'Check clientcert.pem and clientkey.pem, and tls_allowed_dn_list and the log of libvirtd on the host.',
    cause,
  })

/** Codes of OpenSSL and Node for a host whose certificate is wrong. */
const ofCertificate = /^(?:ERR_TLS_CERT|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|ERR_OSSL_X509)/

function handshakeError(error: unknown, host: string): VmError {
  const native = nativeErrorOf('libvirt', error)
  if (!ofCertificate.test(errorCode(error) ?? '')) {
    const reason = `TLS with ${host} failed: ${native.message}`
    return new ConnectionError({ reason, native, cause: error, hint: 'Check the log of libvirtd on the host.' })
  }
  return new AuthenticationError({
    reason: `the certificate of ${host} is not accepted: ${native.message}`,
    hint: 'Check cacert.pem, and that the URI has the name that is in the certificate. ?no_verify=1 accepts any.',
    native,
    cause: error,
  })
}
