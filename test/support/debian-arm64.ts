import { buildDebian, type DebianLinux, initScript } from './debian-build.js'

/** Debian's arm64 kernel for virtual machines, and an initramfs with busybox. */
export const debianArm64 = (): Promise<DebianLinux> =>
  buildDebian({
    name: 'debian-arm64-2',
    architecture: 'arm64',
    kernel: 'linux-image-cloud-arm64',
    packages: ['busybox-static'],
    modules: ['virtio_pci', 'virtio_console', 'virtio_blk', 'virtio_net', 'virtio_balloon', 'button', 'evdev'],
    init: initScript(8, 'ip link set lo up\n', 'ttyAMA0'),
  })
