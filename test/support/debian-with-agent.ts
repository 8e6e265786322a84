import {
  buildDebian,
  type DebianLinux,
  type DebianRecipe,
  executableFrom,
  initScript,
  librariesFrom,
} from './debian-build.js'

/** Debian's kernel for virtual machines, and an initramfs with busybox and the QEMU guest agent, which needs 128 MiB. */
export const debianWithAgent = (): Promise<DebianLinux> =>
  withAgent({ name: 'debian-with-agent-5', kernel: 'linux-image-cloud-amd64', modules: [] })

/** The same with Debian's usual kernel and the modules for folders of the host: that for virtual machines has no 9p. Needs 192 MiB. */
export const debianWithShares = (): Promise<DebianLinux> =>
  withAgent({ name: 'debian-with-shares-1', kernel: 'linux-image-amd64', modules: ['9pnet_virtio', '9p', 'virtiofs'] })

const withAgent = ({
  name,
  kernel,
  modules,
}: Pick<DebianRecipe, 'name' | 'kernel' | 'modules'>): Promise<DebianLinux> =>
  buildDebian({
    name,
    architecture: 'amd64',
    kernel,
    packages: ['busybox-static', 'qemu-guest-agent'],
    needsLibraries: true,
    modules: [
      'virtio_pci',
      'virtio_console',
      'virtio_blk',
      'virtio_scsi',
      'ata_piix',
      'sd_mod',
      'virtio_net',
      'virtio_balloon',
      'pvpanic-mmio',
      'pvpanic-pci',
      'button',
      'evdev',
      'isofs',
      ...modules,
    ],
    init: initScript(8, services),
    entries: async (root) => [
      ...['root', 'run', 'tmp', 'usr', 'usr/sbin', 'usr/lib', 'lib', 'lib64', 'etc'].map((path) => ({
        path,
        mode: 0o040755,
      })),
      { path: 'etc/hostname', mode: 0o100644, content: Buffer.from('debian\n') },
      { path: 'etc/passwd', mode: 0o100644, content: Buffer.from(users) },
      { path: 'etc/udhcpc.sh', mode: 0o100755, content: Buffer.from(leaseScript) },
      await executableFrom(root, agent),
      ...(await librariesFrom(root, [agent])),
    ],
  })

export const agent = 'usr/sbin/qemu-ga'

const services = `export HOME=/root
ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
  ip link set eth0 up
  udhcpc -i eth0 -s /etc/udhcpc.sh > /dev/null 2>&1 &
fi
for port in /sys/class/virtio-ports/*; do
  if [ "$(cat $port/name)" = org.qemu.guest_agent.0 ]; then
    /${agent} -m virtio-serial -p /dev/\${port##*/} -t /run > /dev/null 2>&1 &
  fi
done
`

const users = `root:x:0:0:root:/root:/bin/sh
ci:x:1000:1000:ci:/root:/bin/sh
`

export const leaseScript = `#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add $ip/$mask dev $interface
ip route add default via \${router%% *} dev $interface
`
