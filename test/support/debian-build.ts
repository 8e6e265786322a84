import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { builtOnce } from './fixture.js'
import { type ArchiveEntry, newcArchive } from './newc-archive.js'
import { missingTools } from './optional-tool.js'

export type DebianLinux =
  | { readonly kernel: string; readonly initrd: string; readonly folder: string; readonly unavailable?: undefined }
  | { readonly unavailable: string }

/** How to make a Linux of Debian's packages that runs in memory. */
export interface DebianRecipe {
  /** To be changed with the recipe, so that an older build is not used. */
  readonly name: string
  readonly architecture: 'i386' | 'amd64' | 'arm64'
  /** The package that depends on the newest kernel. */
  readonly kernel: string
  /** Further packages. */
  readonly packages: readonly string[]
  /** True if the shared libraries of those are unpacked, too. */
  readonly needsLibraries?: boolean | undefined
  /** Kernel modules to load. Those that are built in, or missing, are skipped. */
  readonly modules: readonly string[]
  readonly init: string
  /**
   * Further files of the initramfs.
   *
   * @param root the unpacked packages
   * @param folder the folder of the result, for files that tests need outside of the guest
   */
  entries?(root: string, folder: string): Promise<readonly ArchiveEntry[]>
}

/** Downloads and builds it once, into `$AWAITVM_FIXTURES` or the temporary folder. */
export const buildDebian = async (recipe: DebianRecipe): Promise<DebianLinux> => {
  const leftOut = missingTools()
  if (leftOut !== undefined) return { unavailable: leftOut }
  try {
    const folder = await builtOnce(recipe.name, (result, work) => build(recipe, result, work))
    return { folder, kernel: join(folder, 'vmlinuz'), initrd: join(folder, 'initrd.gz') }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return {
      unavailable: `Debian's ${recipe.architecture} packages can't be had by apt-get download: ${firstLineOf(why)}`,
    }
  }
}

const run = promisify(execFile)

const firstLineOf = (text: string): string => text.split('\n', 1)[0] ?? ''

const executable = 0o100755
const folderMode = 0o040755

const build = async (recipe: DebianRecipe, result: string, work: string): Promise<void> => {
  const root = join(work, 'root')
  await mkdir(root)
  await unpackPackages(recipe, work, root)
  const kernel = (await readdir(join(root, 'boot'))).find((name) => name.startsWith('vmlinuz-'))
  if (kernel === undefined) throw new Error(`${recipe.kernel} leads to no kernel`)
  await rename(join(root, 'boot', kernel), join(result, 'vmlinuz'))
  const archive = newcArchive([
    ...['bin', 'dev', 'proc', 'sys', 'modules'].map((path) => ({ path, mode: folderMode })),
    { path: 'dev/console', mode: 0o020600, device: [5, 1] },
    await executableFrom(root, 'bin/busybox'),
    { path: 'init', mode: executable, content: Buffer.from(recipe.init) },
    ...(await moduleEntries(root, recipe.modules)),
    ...((await recipe.entries?.(root, result)) ?? []),
  ])
  await writeFile(join(result, 'initrd.gz'), gzipSync(archive))
}

const unpackPackages = async (recipe: DebianRecipe, work: string, root: string): Promise<void> => {
  const lists = join(work, 'lists')
  const packages = join(work, 'packages')
  for (const folder of [join(lists, 'partial'), join(work, 'cache/archives/partial'), packages]) {
    await mkdir(folder, { recursive: true })
  }
  await writeFile(join(work, 'status'), '')
  const options = [
    `APT::Architecture=${recipe.architecture}`,
    `APT::Architectures=${recipe.architecture}`,
    'APT::Sandbox::User=root',
    `Dir::State::Lists=${lists}`,
    `Dir::State::status=${join(work, 'status')}`,
    `Dir::Cache=${join(work, 'cache')}`,
  ].map((option) => `-o${option}`)
  // One of several mirrors may fail. What is missing is noticed below.
  await run('apt-get', [...options, 'update']).catch(() => undefined)
  const { stdout } = await run('apt-cache', [...options, 'depends', recipe.kernel])
  const kernel = /Depends: (linux-image-\S+)/.exec(stdout)?.[1]
  if (kernel === undefined) throw new Error(`${recipe.kernel} depends on no kernel`)
  const libraries = recipe.needsLibraries === true ? await librariesOf(recipe.packages, options) : []
  await run('apt-get', [...options, 'download', kernel, ...recipe.packages, ...libraries], { cwd: packages })
  for (const file of await readdir(packages)) await run('dpkg', ['-x', join(packages, file), root])
}

const librariesOf = async (packages: readonly string[], options: readonly string[]): Promise<string[]> => {
  const links = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'].map((link) => `--no-${link}`)
  const { stdout } = await run('apt-cache', [...options, 'depends', '--recurse', ...links, ...packages])
  return stdout.split('\n').filter((line) => /^lib[^:]*$/.test(line) && !line.includes('perl'))
}

export const executableFrom = async (root: string, path: string): Promise<ArchiveEntry> => ({
  path,
  mode: executable,
  content: await readFile(join(root, path)),
})

const loader = 'lib64/ld-linux-x86-64.so.2'

/** The loader and the libraries of amd64 programs, as Debian's own loader finds them. */
export const librariesFrom = async (root: string, programs: readonly string[]): Promise<ArchiveEntry[]> => {
  const folders = ['lib', 'usr/lib'].map((folder) => join(root, folder, 'x86_64-linux-gnu'))
  const found = new Map<string, string>()
  for (const program of programs) {
    const args = ['--library-path', folders.join(':'), '--list', join(root, program)]
    const { stdout } = await run(join(root, loader), args)
    for (const [, name, file] of stdout.matchAll(/^\s*(lib\S+) => (\/\S+)/gm)) found.set(name!, file!)
  }
  const libraries = [...found].map(async ([name, file]) => ({
    path: `usr/lib/${name}`,
    mode: executable,
    content: await readFile(file),
  }))
  return [await executableFrom(root, loader), ...(await Promise.all(libraries))]
}

/** The modules and those that they depend on, named so that each comes after what it depends on. */
const moduleEntries = async (root: string, names: readonly string[]): Promise<ArchiveEntry[]> => {
  const folder = join(root, 'lib/modules')
  const files = (await readdir(folder, { recursive: true })).filter((path) => path.endsWith('.ko'))
  const entries = new Map<string, ArchiveEntry>()
  const add = async (name: string): Promise<void> => {
    const file = files.find((path) => basename(path, '.ko') === name)
    if (file === undefined || entries.has(name)) return
    const content = await readFile(join(folder, file))
    const needed = /\0depends=([^\0]*)\0/.exec(content.toString('latin1'))?.[1] ?? ''
    for (const other of needed.split(',')) await add(other)
    const place = String(entries.size).padStart(2, '0')
    entries.set(name, { path: `modules/${place}-${name}.ko`, mode: executable, content })
  }
  for (const name of names) await add(name)
  return [...entries.values()]
}

/** A shell on the serial port once the modules are loaded; a press of the power button makes it power off. */
export const initScript = (pointerBytes: 4 | 8, services = '', terminal = 'ttyS0'): string => `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod $module; done
for event in /sys/class/input/event*; do
  if [ "$(cat $event/device/name)" = "Power Button" ]; then
    (dd if=/dev/input/\${event##*/} of=/dev/null bs=${String(8 + 2 * pointerBytes)} count=1 2>/dev/null; echo button pressed > /dev/${terminal}; poweroff -f) &
  fi
done
stty -F /dev/${terminal} sane
${services}echo shell ready > /dev/${terminal}
while true; do setsid cttyhack sh < /dev/${terminal} > /dev/${terminal} 2>&1; done
`
