import { randomUUID } from 'node:crypto'
import { chownSync, lstatSync, mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { connect } from 'awaitvm'
import { expect } from 'vitest'
import { otherUser } from '../support/as-user.js'

/** Folders beside the VMs of a directory that are damaged, belong to another user, or are no VMs. They must not be touched, nor get in the way. */
class Strangers {
  readonly #paths: readonly string[]
  readonly #before: readonly string[]

  private constructor(paths: readonly string[]) {
    this.#paths = paths
    this.#before = paths.flatMap(look)
  }

  /** Makes the directory that the URI names, and puts strangers into it. */
  static async settle(uri: string, directory: string): Promise<Strangers> {
    await (await connect(uri).unwrap()).close().unwrap()
    const elsewhere = join(directory, '..', `elsewhere-${randomUUID()}`)
    mkdirSync(elsewhere)
    writeFileSync(join(elsewhere, 'vm.json'), '{}')
    const make: readonly ((path: string) => void)[] = [
      (path) => {
        mkdirSync(path)
        writeFileSync(join(path, 'vm.json'), '')
        writeFileSync(join(path, `disk-${randomUUID()}`), 'content')
      },
      (path) => {
        mkdirSync(path)
        writeFileSync(join(path, 'vm.json'), JSON.stringify({ format: 2, name: 'of a newer awaitvm' }))
      },
      (path) => {
        mkdirSync(path)
        writeFileSync(join(path, 'thesis.txt'), 'do not touch')
      },
      (path) => {
        mkdirSync(path, { mode: 0o700 })
        writeFileSync(join(path, 'vm.json'), '{}', { mode: 0o600 })
        if (process.geteuid?.() === 0)
          for (const own of [join(path, 'vm.json'), path]) chownSync(own, otherUser, otherUser)
      },
      (path) => {
        symlinkSync(elsewhere, path)
      },
      (path) => {
        writeFileSync(path, 'a file')
      },
    ]
    const paths = make.map((makeOne) => {
      const path = join(directory, 'vms', randomUUID())
      makeOne(path)
      return path
    })
    return new Strangers([...paths, elsewhere])
  }

  /** What they were and what they are now: two equal lists if nobody has touched them. */
  get differences(): { readonly before: readonly string[]; readonly now: readonly string[] } {
    return { before: this.#before, now: this.#paths.flatMap(look) }
  }
}

/** Plays in new directories of the folder, each with strangers in it, and checks that they are untouched in the end. */
export async function amongStrangers(
  scheme: 'embedded' | 'qmp',
  folder: string,
  play: (newUri: () => Promise<string>) => Promise<void>,
): Promise<void> {
  const all: Strangers[] = []
  await play(async () => {
    const directory = join(folder, String(all.length + 1))
    const uri = pathToFileURL(directory).href.replace('file:', `${scheme}:`)
    all.push(await Strangers.settle(uri, directory))
    return uri
  })
  for (const { differences } of all) expect(differences.now).toEqual(differences.before)
}

/** Describes a file or folder and all that is in it. */
function look(path: string): string[] {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return [`${path} is gone`]
  const { mode, uid, size, mtimeMs } = stats
  const self = `${path} ${mode.toString(8)} ${String(uid)} ${String(size)} ${String(mtimeMs)}`
  if (stats.isSymbolicLink()) return [`${self} ${readlinkSync(path)}`]
  return stats.isDirectory() ? [self, ...readdirSync(path).flatMap((name) => look(join(path, name)))] : [self]
}
