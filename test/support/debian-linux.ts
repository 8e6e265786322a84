import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { newcArchive } from './newc-archive.js'

export type DebianLinux =
  | { readonly kernel: string; readonly initrd: string; readonly unavailable?: undefined }
  | { readonly unavailable: string }

/** Changes with what `build` makes, so that an older build is not taken for it. */
const version = 1

/**
 * Paths of Debian's i386 kernel and of an initramfs with busybox, whose shell is on ttyS0. Downloaded once, into
 * `$AWAITVM_FIXTURES` or the temporary folder. A press of the power button makes it power off.
 */
export const debianLinux = async (): Promise<DebianLinux> => {
  const cache = process.env['AWAITVM_FIXTURES'] ?? join(tmpdir(), 'awaitvm-fixtures')
  const folder = join(cache, `debian-linux-${String(version)}`)
  const files = { kernel: join(folder, 'vmlinuz'), initrd: join(folder, 'initrd.gz') }
  if (existsSync(folder)) return files
  try {
    await mkdir(cache, { recursive: true })
    const work = await mkdtemp(join(cache, 'building-'))
    try {
      await build(work)
      // The last step, so that the folder is there whole or not at all, whoever else builds it at the same time.
      await rename(join(work, 'result'), folder).catch((error: unknown) => {
        if (!existsSync(folder)) throw error
      })
    } finally {
      await rm(work, { recursive: true, force: true })
    }
    return files
  } catch (error) {
    return {
      unavailable: `Debian's i386 packages cannot be had: ${error instanceof Error ? error.message : String(error)}`,
    }
  }
}

const run = promisify(execFile)

const build = async (work: string): Promise<void> => {
  const lists = join(work, 'lists')
  const packages = join(work, 'packages')
  const root = join(work, 'root')
  const result = join(work, 'result')
  for (const folder of [join(lists, 'partial'), join(work, 'cache/archives/partial'), packages, root, result]) {
    await mkdir(folder, { recursive: true })
  }
  await writeFile(join(work, 'status'), '')
  const options = [
    'APT::Architecture=i386',
    'APT::Architectures=i386',
    'APT::Sandbox::User=root',
    `Dir::State::Lists=${lists}`,
    `Dir::State::status=${join(work, 'status')}`,
    `Dir::Cache=${join(work, 'cache')}`,
  ].map((option) => `-o${option}`)
  // One of several mirrors may fail. Whether the rest has what is needed shows below.
  await run('apt-get', [...options, 'update']).catch(() => undefined)
  const { stdout } = await run('apt-cache', [...options, 'depends', 'linux-image-686'])
  const kernelPackage = /Depends: (linux-image-\S+)/.exec(stdout)?.[1]
  if (kernelPackage === undefined) throw new Error('linux-image-686 depends on no kernel')
  await run('apt-get', [...options, 'download', kernelPackage, 'busybox-static'], { cwd: packages })
  for (const file of await readdir(packages)) await run('dpkg', ['-x', join(packages, file), root])

  const kernel = (await readdir(join(root, 'boot'))).find((name) => name.startsWith('vmlinuz-'))
  if (kernel === undefined) throw new Error(`${kernelPackage} contains no kernel`)
  await rename(join(root, 'boot', kernel), join(result, 'vmlinuz'))
  await writeFile(join(result, 'initrd.gz'), await initramfs(root))
}

const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod $module; done
for event in /sys/class/input/event*; do
  if [ "$(cat $event/device/name)" = "Power Button" ]; then
    (dd if=/dev/input/\${event##*/} of=/dev/null bs=16 count=1 2>/dev/null; echo button pressed > /dev/ttyS0; poweroff -f) &
  fi
done
stty -F /dev/ttyS0 sane
echo shell ready > /dev/ttyS0
while true; do setsid cttyhack sh < /dev/ttyS0 > /dev/ttyS0 2>&1; done
`

const initramfs = async (root: string): Promise<Buffer> => {
  const modulesFolder = join(root, 'lib/modules')
  const release = (await readdir(modulesFolder))[0] ?? ''
  const drivers = join(modulesFolder, release, 'kernel/drivers')
  const modules = ['acpi/button.ko', 'input/evdev.ko'].filter((path) => existsSync(join(drivers, path)))
  const executable = 0o100755
  const folder = 0o040755
  const archive = newcArchive([
    ...['bin', 'dev', 'proc', 'sys', 'modules'].map((path) => ({ path, mode: folder })),
    { path: 'dev/console', mode: 0o020600, device: [5, 1] },
    { path: 'bin/busybox', mode: executable, content: await readFile(join(root, 'bin/busybox')) },
    { path: 'init', mode: executable, content: Buffer.from(init) },
    ...(await Promise.all(
      modules.map(async (path) => ({
        path: `modules/${path.replace('/', '-')}`,
        mode: executable,
        content: await readFile(join(drivers, path)),
      })),
    )),
  ])
  return gzipSync(archive)
}
