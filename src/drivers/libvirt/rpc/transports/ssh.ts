import { nativeErrorOf } from '../../../../errors/native.js'
import { AuthenticationError, ConnectionError, type VmError } from '../../../../errors.js'
import { SshClient } from '../../../../ssh/ssh-client.js'
import type { LibvirtAddress, RemoteHost } from '../../libvirt-uri.js'
import type { Dialer } from './dialer.js'
import { ProgramSocket } from './program-socket.js'
import { socketIn, systemFolder } from './unix.js'

/** libvirt's own program for this; it knows where the daemon listens. */
const helper = 'virt-ssh-helper'

/** What the host has: the helper, the socket for QEMU alone, and a netcat that waits at the end of its input unless it is told not to. */
const probe = `command -v "$1" >/dev/null 2>&1 && echo helper
[ -S "$2" ] && echo direct
"$3" -q 2>&1 | grep -q "requires an argument" && echo quits
true`

/**
 * Connects through the ssh client of this machine, with its configuration, agent and known hosts. It never asks for a password. All
 * connections share one login.
 */
export async function sshDialer(remote: RemoteHost, address: LibvirtAddress): Promise<Dialer> {
  const { keyfile, command, no_verify: noVerify } = address.options
  const ssh = await SshClient.open(remote, {
    identity: keyfile,
    program: command,
    trustsAnyHost: noVerify === '1',
  })
  let words: readonly string[] | undefined
  const wordsFor = async (signal: AbortSignal): Promise<readonly string[]> => {
    try {
      return await proxyWords(ssh, address, signal)
    } catch (error) {
      signal.throwIfAborted()
      throw sshError(error, remote)
    }
  }
  return {
    async dial(signal) {
      words ??= await wordsFor(signal)
      signal.throwIfAborted()
      return new ProgramSocket(ssh.start(words, { hasInput: true }), `ssh ${remote.host} ${words[0] ?? ''}`)
    },
    close: () => ssh.close(),
  }
}

/** The program that connects to the daemon's socket on the host. */
async function proxyWords(ssh: SshClient, address: LibvirtAddress, signal: AbortSignal): Promise<readonly string[]> {
  const { netcat = 'nc', socket, proxy = 'auto' } = address.options
  const ownSocket = socketIn(systemFolder, address, () => true)
  const found = (await ssh.script(probe, [helper, ownSocket, netcat], signal)).split('\n')
  const wantsNetcat = proxy === 'netcat' || address.options['netcat'] !== undefined || socket !== undefined
  if (proxy === 'native' || (!wantsNetcat && (address.isSession || found.includes('helper')))) {
    return [helper, address.name]
  }
  const path = socket ?? socketIn(systemFolder, address, () => found.includes('direct'))
  return [netcat, ...(found.includes('quits') ? ['-q', '0'] : []), '-U', path]
}

function sshError(error: unknown, { host }: RemoteHost): VmError {
  const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : ''
  const native = nativeErrorOf('libvirt', error)
  const reason = `ssh to ${host} failed: ${(stderr === '' ? native.message : stderr).slice(0, 2000)}`
  if (/permission denied|host key verification failed|too many authentication failures/i.test(reason)) {
    const hint = 'Try ssh in a terminal. It must not ask for anything: use a key, and accept the host key once.'
    return new AuthenticationError({ reason, hint, native, cause: error })
  }
  return new ConnectionError({ reason, native, cause: error, hint: 'Try ssh in a terminal.' })
}
