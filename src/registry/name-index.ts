import { createHash } from 'node:crypto'
import { mkdirSync, rmSync, statSync } from 'node:fs'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode } from '../errors/native.js'
import { inBackground } from '../background.js'
import { readOwnFile } from './own-file.js'
import { replaceSmallFile } from './replace-file.js'

/** An id has 36 characters, a stamp at most 63. */
const maxEntryBytes = 1024
const stampFile = 'complete'

/** What changes with each folder that is added to the folder of VMs, removed from it or renamed, also by hand. */
interface VmsStamp {
  readonly inode: bigint
  /** Unlike the time of the last modification, no program can set it. */
  readonly changedNs: bigint
  /** On most file systems, the number of folders in it and two; on the others, always one. */
  readonly links: bigint
}

interface Named {
  readonly id: string
  readonly name: string
}

/**
 * Finds a VM by its name without reading the definitions of all VMs.
 *
 * ```
 * names/KEY       the id of the VM with the name; KEY is a hash of the name
 * names/complete  how the folder of VMs was when each VM in it had an entry
 * ```
 *
 * An entry is never believed: its reader compares the VM's own definition. That a name without an entry is free is believed while
 * the folder of VMs is as `complete` says. An entry too many costs time only, so entries may be put at any moment. They are dropped,
 * and `complete` is written, with the claim on the directory only.
 */
export class NameIndex {
  readonly #folder: string
  readonly #vms: string
  readonly #stamp: string

  constructor(root: string, vms: string) {
    this.#folder = join(root, 'names')
    this.#vms = vms
    this.#stamp = join(this.#folder, stampFile)
  }

  /** The content of the name's entry, which should be an id; `undefined` if the name has none. */
  idOf(name: string): string | undefined {
    return read(this.#path(name))
  }

  put({ id, name }: Named): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    replaceSmallFile(this.#path(name), id)
  }

  /** Drops the name's entry if it is the VM's. */
  drop({ id, name }: Named): void {
    if (this.idOf(name) === id) rmSync(this.#path(name), { force: true })
  }

  /** Whether no VM has a name that has no entry. */
  isComplete(): boolean {
    return read(this.#stamp) === textOf(this.look())
  }

  /** To be taken before the VMs are read for `complete`. */
  look(): VmsStamp {
    const { ino, ctimeNs, nlink } = statSync(this.#vms, { bigint: true })
    return { inode: ino, changedNs: ctimeNs, links: nlink }
  }

  /**
   * Adds the entries that are missing, and drops those of no VM. If two VMs have the same name, the index stays incomplete. It is
   * asynchronous: on ext4, thousands of new files may take seconds.
   */
  async complete(vms: readonly Named[], stamp: VmsStamp): Promise<void> {
    const wanted = new Map(vms.map((vm) => [keyOf(vm.name), vm]))
    if (wanted.size < vms.length) return
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    const present = new Set(await readdir(this.#folder))
    for (const [key, { id }] of wanted) if (!present.has(key)) await addFile(join(this.#folder, key), id)
    for (const entry of present) {
      const isStray = entry !== stampFile && !wanted.has(entry)
      if (isStray) await rm(join(this.#folder, entry), { recursive: true, force: true })
    }
    this.#write(stamp)
  }

  /** Adds the folder of one VM, which has an entry, or removes one. The index is complete after it if it was before. */
  async changing<T>(change: 'add' | 'remove', action: () => Promise<T>): Promise<T> {
    const before = this.look()
    const wasComplete = read(this.#stamp) === textOf(before)
    const result = await action()
    const after = this.look()
    // File systems tell the time in steps of milliseconds: a second folder may have been added within the same one.
    const isAlone = after.links - before.links === (change === 'add' ? 1n : -1n)
    const isUncounted = before.links === 1n && after.links === 1n
    if (wasComplete && (isAlone || isUncounted)) this.#write(after)
    return result
  }

  /** Without it, the next change reads all VMs: that is no reason to fail. */
  #write(stamp: VmsStamp): void {
    inBackground(`Writing ${this.#stamp}`, () => {
      replaceSmallFile(this.#stamp, textOf(stamp))
    })
  }

  #path(name: string): string {
    return join(this.#folder, keyOf(name))
  }
}

/** Names may have more characters than names of files, and differ in their case only. */
const keyOf = (name: string): string => createHash('sha256').update(name).digest('hex').slice(0, 32)

const textOf = ({ inode, changedNs, links }: VmsStamp): string => [inode, changedNs, links].join(' ')

/** Writes a new file in place, without a draft: if the process dies, the entry may be cut off, and a wrong entry is noticed. */
async function addFile(path: string, content: string): Promise<void> {
  try {
    await writeFile(path, content, { flag: 'wx', mode: 0o600 })
  } catch (error) {
    // A lookup has put it.
    if (errorCode(error) !== 'EEXIST') throw error
  }
}

/** What can't be read is an entry all the same, which is wrong. */
function read(path: string): string | undefined {
  try {
    return readOwnFile(path, maxEntryBytes)
  } catch (error) {
    return errorCode(error) === 'ENOENT' ? undefined : ''
  }
}
