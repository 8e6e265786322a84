import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { LibvirtAddress } from '../../libvirt-uri.js'
import { separate, type Dialer } from './dialer.js'
import { connectSocket } from './socket.js'

/** `LIBVIRTD_PRIV_UNIX_SOCKET`, and that of the daemon for QEMU alone. */
const monolithic = 'libvirt-sock'
const modular = 'virtqemud-sock'

/** Connects to a daemon on this machine. */
export function unixDialer(address: LibvirtAddress): Dialer {
  return separate((signal) => {
    const path = address.options['socket'] ?? localSocket(address)
    return connectSocket({ path }, signal, {
      what: `the socket ${path}`,
      hint: 'Check that libvirtd or virtqemud runs: systemctl status libvirtd virtqemud. Another socket is named by ?socket=.',
    })
  })
}

/** As libvirt's own client has it, the user root has no daemon of its own for `/session`. */
function localSocket(address: LibvirtAddress): string {
  const isOwn = address.isSession && process.geteuid?.() !== 0
  const runtime = process.env['XDG_RUNTIME_DIR'] ?? join(homedir(), '.cache')
  return socketIn(isOwn ? join(runtime, 'libvirt') : systemFolder, address, existsSync)
}

/** On every distribution. */
export const systemFolder = '/var/run/libvirt'

/** The socket in a folder that `mode` chooses. Of the test driver, every daemon but the one for QEMU alone has it. */
export function socketIn(
  folder: string,
  { options: { mode = 'auto' }, hypervisor }: LibvirtAddress,
  exists: (path: string) => boolean,
): string {
  const direct = join(folder, modular)
  const isDirect = mode === 'direct' || (mode === 'auto' && hypervisor === 'qemu' && exists(direct))
  return isDirect ? direct : join(folder, monolithic)
}
