import { realpath } from 'node:fs/promises'
import { noteImageUsers } from '../../../driver/local-images.js'
import type { Task } from '../../../driver/task.js'
import { InvalidArgumentError, NotSupportedError } from '../../../errors.js'
import { requireKept } from '../../../errors/ephemeral.js'
import { errorCode } from '../../../errors/native.js'
import { VmDirectory } from '../../../registry/vm-directory.js'
import { definitionFormat } from '../definition-format.js'
import type { Definition } from '../definition.js'
import type { HeldVm } from '../held-vm.js'
import { moveByCopy } from './migration.js'
import { findVm } from './registration.js'
import { removeSign } from '../process/qemu-process.js'
import { requireShares } from '../shares/shared-folder.js'
import { parseQmpUri } from '../uri.js'

/**
 * Moves VMs into and out of the directory. A VM has all of its files in its folder, so that a move is one rename. A running QEMU is
 * not affected, since it has the folder open.
 */
export class VmMoves {
  readonly #directory: VmDirectory<Definition>

  constructor(directory: VmDirectory<Definition>) {
    this.#directory = directory
  }

  async unregister(vm: HeldVm): Promise<void> {
    requireKept('vm.unregister', vm.definition.owner !== undefined)
    await noteImages(this.#directory.unregistered, vm.definition)
    vm.follow(await this.#directory.unregister(vm.id))
    removeSign(vm.folder)
  }

  async register(path: string): Promise<Definition> {
    const { folder, identity, definition } = await findVm(this.#directory, path)
    await noteImages(this.#directory.vms, definition)
    try {
      await this.#directory.adopt(definition, folder, identity)
    } catch (error) {
      if (errorCode(error) !== 'EXDEV') throw error
      throw new InvalidArgumentError({
        path: 'path',
        reason: `${folder} is on another file system than ${this.#directory.root}`,
        hint: `Copy it into ${this.#directory.unregistered}, and register the copy.`,
        cause: error,
      })
    }
    return definition
  }

  async migrate(vm: HeldVm, to: string, task: Task): Promise<void> {
    requireKept('vm.migrate', vm.definition.owner !== undefined)
    const target = await this.#openTarget(to)
    try {
      await requireShares(vm.definition.hardware.shares ?? [], target.root, 'config')
      await noteImages(target.vms, vm.definition)
      vm.signal.throwIfAborted()
      vm.follow(await target.adopt(vm.definition, vm.folder))
    } catch (error) {
      if (errorCode(error) !== 'EXDEV') throw error
      await moveByCopy(this.#directory, target, vm, task)
    } finally {
      await target.close()
    }
  }

  async #openTarget(to: string): Promise<VmDirectory<Definition>> {
    if (!URL.canParse(to)) throw new InvalidArgumentError({ path: 'to', reason: `${JSON.stringify(to)} is not a URI` })
    const uri = new URL(to)
    if (uri.protocol !== 'qmp:') {
      throw new NotSupportedError({
        capability: 'vm.migrate',
        reason: `a VM of QEMU can't be moved to ${uri.protocol}`,
        hint: 'Name another directory of this computer: qmp:///var/lib/vms.',
      })
    }
    const { directory } = parseQmpUri(uri, 'to')
    const target = await VmDirectory.open(directory, definitionFormat, 'to')
    if ((await realpath(target.root)) !== (await realpath(this.#directory.root))) return target
    await target.close()
    throw new InvalidArgumentError({
      path: 'to',
      reason: `it is in ${directory} already`,
      hint: 'Name another directory.',
    })
  }
}

/** Notes that a VM in a folder of VMs needs its images. */
const noteImages = (vms: string, { hardware, snapshots }: Definition): Promise<void> =>
  noteImageUsers(vms, { disks: [hardware, ...snapshots.map((each) => each.hardware)].flatMap(({ disks }) => disks) })
