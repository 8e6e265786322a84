import type { RemoteHost } from '../../libvirt-uri.js'
import { separate, type Dialer } from './dialer.js'
import { connectSocket } from './socket.js'

/** `LIBVIRTD_TCP_PORT` */
const usualPort = 16_509

/** Connects without encryption. */
export function tcpDialer({ host, port = usualPort }: RemoteHost): Dialer {
  return separate((signal) =>
    connectSocket({ host, port }, signal, {
      what: `port ${String(port)} of ${host}`,
      hint: 'libvirtd must be started with --listen and listen_tcp = 1. +ssh needs nothing of that.',
    }),
  )
}
