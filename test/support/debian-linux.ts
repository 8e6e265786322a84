import { buildDebian, type DebianLinux, initScript } from './debian-build.js'

/** Debian's i386 kernel and an initramfs with busybox. */
export const debianLinux = (): Promise<DebianLinux> =>
  buildDebian({
    name: 'debian-linux-2',
    architecture: 'i386',
    kernel: 'linux-image-686',
    packages: ['busybox-static'],
    modules: ['button', 'evdev'],
    init: initScript(4),
  })
