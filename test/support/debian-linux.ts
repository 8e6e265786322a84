import { buildDebian, type DebianLinux, initScript } from './debian-build.js'

/** Debian's i386 kernel and an initramfs with busybox, which has folders for files and two users. */
export const debianLinux = (): Promise<DebianLinux> =>
  buildDebian({
    name: 'debian-linux-6',
    architecture: 'i386',
    kernel: 'linux-image-686',
    packages: ['busybox-static'],
    modules: ['button', 'evdev'],
    init: initScript(4, 'ip link set lo up\n'),
    entries: () =>
      Promise.resolve([
        ...['root', 'run', 'etc', 'home', 'usr'].map((path) => ({ path, mode: 0o040755 })),
        // They are there before init has done anything.
        ...['bin/sh', 'bin/true', 'bin/echo'].map((path) => ({
          path,
          mode: 0o120777,
          content: Buffer.from('busybox'),
        })),
        { path: 'tmp', mode: 0o041777 },
        { path: 'etc/hostname', mode: 0o100644, content: Buffer.from('debian\n') },
        { path: 'etc/passwd', mode: 0o100644, content: Buffer.from(passwd) },
        { path: 'etc/group', mode: 0o100644, content: Buffer.from('root:x:0:\nci:x:1000:\n') },
      ]),
  })

const passwd = 'root:x:0:0:root:/root:/bin/sh\nci:x:1000:1000:ci:/home:/bin/sh\n'
