import { lstatSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode } from '../errors/native.js'
import type { VmError } from '../errors.js'
import { DamagedVm } from './damaged-vm.js'
import { definitionFile, readDefinition } from './definition-file.js'
import { problemWith, remedyFor } from './file-problem.js'
import { requireOwnFolder } from './own-file.js'
import type { VmFormat, WrittenVm } from './vm-format.js'
import { FormatError, parseJson } from './written-json.js'

const idPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** All VMs of a directory, in no order. */
export interface AllVms<D> {
  readonly definitions: readonly D[]
  readonly damaged: readonly DamagedVm[]
}

/** Reads the definitions of the VMs in a folder. */
export class VmDefinitions<D extends WrittenVm> {
  /** The folder with the folders of VMs. */
  readonly vms: string
  readonly #format: VmFormat<D>
  /** The version of the file that a definition was read from. */
  readonly #versions = new WeakMap<D, string | undefined>()

  constructor(vms: string, format: VmFormat<D>) {
    this.vms = vms
    this.#format = format
  }

  async ids(): Promise<string[]> {
    return (await readdir(this.vms)).filter((name) => idPattern.test(name))
  }

  async all(): Promise<AllVms<D>> {
    const definitions: D[] = []
    const damaged: DamagedVm[] = []
    for (const id of await this.ids()) {
      const found = this.find(id)
      if (found instanceof DamagedVm) damaged.push(found)
      else if (found !== undefined) definitions.push(found)
    }
    return { definitions, damaged }
  }

  /** The VM with the id, also if it is damaged. */
  find(id: string): D | DamagedVm | undefined {
    if (!idPattern.test(id)) return undefined
    const folder = join(this.vms, id)
    const path = join(folder, definitionFile)
    let text = ''
    try {
      requireOwnFolder(folder)
      const version = versionOf(path)
      text = readDefinition(folder)
      const definition = parseJson(this.#format.schema, text)
      if (definition.id !== id) throw new FormatError(`it speaks of the VM ${definition.id}`, false)
      this.#versions.set(definition, version)
      return definition
    } catch (error) {
      if (errorCode(error) === 'ENOENT' && lstatSync(folder, { throwIfNoEntry: false }) === undefined) return undefined
      const hint = `${remedyFor(error)}, or give the VM up with vm.delete(), or by removing ${folder}.`
      return new DamagedVm(id, text, this.#problem(path, error, hint))
    }
  }

  /** Whether a definition that was read from the folder of its VM has been replaced since, or is gone. */
  isOutdated(definition: D): boolean {
    const read = this.#versions.get(definition)
    return read !== undefined && read !== versionOf(join(this.vms, definition.id, definitionFile))
  }

  /** The definition in any folder; `undefined` if it has none. */
  readFrom(folder: string): D | undefined {
    const path = join(folder, definitionFile)
    try {
      return parseJson(this.#format.schema, readDefinition(folder))
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
      throw this.#problem(path, error, `${remedyFor(error)}.`)
    }
  }

  #problem(path: string, error: unknown, hint: string): VmError {
    return problemWith(path, error, { driver: this.#format.driver, hint })
  }
}

/** Differs after each replacement of a file; `undefined` if it is not there. */
function versionOf(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found && `${String(found.ino)},${String(found.ctimeNs)}`
}
