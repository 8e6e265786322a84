import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import {
  buildDebian,
  type DebianLinux,
  type DebianRecipe,
  executableFrom,
  initScript,
  librariesFrom,
} from './debian-build.js'
import { agent, leaseScript } from './debian-with-agent.js'

export type DebianWithSsh = DebianLinux & {
  /** The private key that the users `root` and `ci` take. */
  readonly userKey: string
  /** The guest's public host key, as in its ssh_host_ed25519_key.pub. */
  readonly hostKey: string
}

/** The word of the kernel's command line that starts the QEMU guest agent, too. */
export const withAgent = 'with-agent'

/**
 * Debian's kernel for virtual machines, and an initramfs with busybox and an ssh server, which needs 192 MiB and a network adapter.
 * It has the users `root` and `ci`, which has a home in /home/ci.
 */
export const debianWithSsh = async (): Promise<DebianWithSsh> => {
  const linux = await buildDebian(recipe)
  if (linux.unavailable !== undefined) return { ...linux, userKey: '', hostKey: '' }
  const hostKey = (await readFile(join(linux.folder, 'host.pub'), 'utf8')).trim()
  return { ...linux, userKey: join(linux.folder, 'user'), hostKey }
}

const server = 'usr/sbin/sshd'
const sftp = 'usr/lib/openssh/sftp-server'

const recipe: DebianRecipe = {
  name: 'debian-with-ssh-2',
  architecture: 'amd64',
  kernel: 'linux-image-cloud-amd64',
  packages: ['busybox-static', 'openssh-server', 'openssh-sftp-server', 'qemu-guest-agent', 'zlib1g'],
  needsLibraries: true,
  modules: ['virtio_pci', 'virtio_console', 'virtio_blk', 'virtio_net', 'button', 'evdev'],
  init: initScript(8, services()),
  entries: async (root, folder) => {
    for (const key of ['host', 'user']) {
      if (existsSync(join(folder, key))) continue
      await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', join(folder, key)])
    }
    const folders = ['root', 'run', 'run/sshd', 'tmp', 'home', 'usr', 'usr/sbin', 'usr/lib', 'usr/lib/openssh']
    return [
      ...[...folders, 'lib', 'lib64', 'etc', 'etc/ssh', 'dev/pts'].map((path) => ({ path, mode: 0o040755 })),
      { path: 'etc/udhcpc.sh', mode: 0o100755, content: Buffer.from(leaseScript) },
      ...Object.entries(settings).map(([path, text]) => ({ path, mode: 0o100644, content: Buffer.from(text) })),
      { path: 'etc/ssh/host', mode: 0o100600, content: await readFile(join(folder, 'host')) },
      { path: 'etc/ssh/authorized_keys', mode: 0o100644, content: await readFile(join(folder, 'user.pub')) },
      ...(await Promise.all([server, sftp, agent].map((program) => executableFrom(root, program)))),
      ...(await librariesFrom(root, [server, sftp, agent])),
    ]
  },
}

const settings = {
  'etc/passwd': `root:x:0:0:root:/root:/bin/sh
sshd:x:100:65534:sshd:/run/sshd:/bin/false
ci:x:1000:1000:ci:/home/ci:/bin/sh
`,
  'etc/group': 'root:x:0:\nci:x:1000:\ntesters:x:1001:ci\n',
  'etc/shadow': 'root:*:19000::::::\nci:*:19000::::::\n',
  'etc/hostname': 'debian\n',
  'etc/os-release': 'NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="12"\n',
  'etc/ssh/sshd_config': `HostKey /etc/ssh/host
AuthorizedKeysFile /etc/ssh/authorized_keys
PidFile /run/sshd.pid
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
UseDNS no
LogLevel ERROR
Subsystem sftp /${sftp}
`,
}

function services(): string {
  return `export HOME=/root
hostname debian
mkdir -p /dev/pts /home/ci
mount -t devpts devpts /dev/pts
chown 1000:1000 /home/ci
chmod 755 /
chmod 1777 /tmp
ln -s /bin /usr/bin
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -s /etc/udhcpc.sh > /dev/null 2>&1 &
/${server}
if grep -q ${withAgent} /proc/cmdline; then
  for port in /sys/class/virtio-ports/*; do
    if [ "$(cat $port/name)" = org.qemu.guest_agent.0 ]; then
      /${agent} -m virtio-serial -p /dev/\${port##*/} -t /run > /dev/null 2>&1 &
    fi
  done
fi
`
}
