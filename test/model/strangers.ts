import { randomUUID } from 'node:crypto'
import { chownSync, lstatSync, mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'awaitvm'
import { otherUser } from '../support/as-user.js'

/** Folders beside the VMs of a directory that are damaged, another user's, or no VM's, and that nobody may touch or trip over. */
export class Strangers {
  readonly #paths: readonly string[]
  readonly #before: readonly string[]

  private constructor(paths: readonly string[]) {
    this.#paths = paths
    this.#before = paths.flatMap(look)
  }

  /** Puts them into the directory that the URI names, which is made. */
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

  /** What has become of them: two equal lists where nobody has touched them. */
  get differences(): { readonly before: readonly string[]; readonly now: readonly string[] } {
    return { before: this.#before, now: this.#paths.flatMap(look) }
  }
}

/** A file or folder as it is, with all that is in it. */
function look(path: string): string[] {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return [`${path} is gone`]
  const { mode, uid, size, mtimeMs } = stats
  const self = `${path} ${mode.toString(8)} ${String(uid)} ${String(size)} ${String(mtimeMs)}`
  if (stats.isSymbolicLink()) return [`${self} ${readlinkSync(path)}`]
  return stats.isDirectory() ? [self, ...readdirSync(path).flatMap((name) => look(join(path, name)))] : [self]
}
