import { access, realpath, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Task } from '../../../driver/task.js'
import { InvalidStateError, ResourceBusyError } from '../../../errors.js'
import { errorCode } from '../../../errors/native.js'
import { Claim, heldBy } from '../../../registry/claim.js'
import { copyFiles } from '../../../registry/copy-files.js'
import { setAside } from '../../../registry/unfinished.js'
import type { VmDirectory } from '../../../registry/vm-directory.js'
import { definitionFormat } from '../definition-format.js'
import type { Definition } from '../definition.js'
import { requireVmFiles } from '../disks/required-parts.js'
import type { HeldVm } from '../held-vm.js'

type Directory = VmDirectory<Definition>

/**
 * Moves a VM to a directory on another file system, by a copy. The original names its target before the copy belongs to the other
 * directory, and the copy names its origin until the original is removed. If this process crashes at any moment, the next process
 * that claims one of them finds out which of the two is the VM, and removes the other.
 */
export async function moveByCopy(directory: Directory, target: Directory, vm: HeldVm, task: Task): Promise<void> {
  const { definition, state } = vm
  if (vm.run !== undefined) throw runsElsewhere(vm)
  const { id } = definition
  await target.assertIsFree(definition)
  requireVmFiles(vm.folder, definition, 'rest')
  for (const snapshot of definition.snapshots) requireVmFiles(vm.folder, snapshot, 'snapshot')
  const [movingTo, movedFrom] = await Promise.all([realpath(target.root), realpath(vm.folder)])
  vm.setState('migrating')
  const claim = await copyTo(target, vm, { movingTo, movedFrom }, task).catch(async (error: unknown) => {
    await vm.save(definition)
    vm.setState(state)
    throw error
  })
  // From here on the copy is the VM, whether what follows fails or not.
  try {
    task.progress({ percent: 95, phase: 'handing over' })
    await directory.delete(id)
    await target.save(definition)
  } finally {
    claim.release()
  }
}

/** Makes the copy. Returns the claim on it. */
async function copyTo(
  target: Directory,
  vm: HeldVm,
  { movingTo, movedFrom }: { readonly movingTo: string; readonly movedFrom: string },
  task: Task,
): Promise<Claim> {
  const { definition, id } = vm
  let claim: Claim | undefined
  await vm.save({ ...definition, movingTo })
  await target.create({ ...definition, movedFrom }, async () => {
    ;({ claim } = await target.claim(id, 'migrating'))
    await copyFiles(vm.folder, target.folder(id), definitionFormat.filesOf(definition), {
      signal: vm.signal,
      onProgress: (done, total) => {
        task.progress({ percent: (90 * done) / total, phase: 'copying', done, total, unit: 'bytes' })
      },
    })
    vm.signal.throwIfAborted()
  })
  if (claim === undefined) throw new Error('A VM was made without being claimed')
  claim.follow(target.folder(id))
  return claim
}

/** Finishes a move after a crash. Returns `undefined` if the VM is in the other directory. */
export async function settleMove(directory: Directory, found: Definition): Promise<Definition | undefined> {
  const { movingTo, movedFrom, ...definition } = found
  if (movingTo !== undefined && (await hasArrived(movingTo, found.id))) {
    await directory.delete(found.id)
    return undefined
  }
  if (movedFrom !== undefined) await dropOriginal(directory, movedFrom, found.id)
  await directory.save(definition)
  return definition
}

async function hasArrived(root: string, id: string): Promise<boolean> {
  if (!(await isThere(join(root, 'vms')))) {
    const hint = 'Bring it back, for example by mounting its file system.'
    throw new ResourceBusyError({ reason: `it was being moved to ${root}, which is not there`, hint })
  }
  return isThere(join(root, 'vms', id, 'vm.json'))
}

/** Removes the original, if it was being moved here. */
async function dropOriginal(directory: Directory, folder: string, id: string): Promise<void> {
  const original = await directory.readFrom(folder)
  if (original?.id !== id || original.movingTo !== (await realpath(directory.root))) return
  const claim = Claim.take(directory.member, folder, 'migrating')
  if (!(claim instanceof Claim)) throw heldBy(claim)
  await rm(await setAside(dirname(dirname(folder)), folder), { recursive: true, force: true })
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false
    throw error
  }
}

const runsElsewhere = ({ state }: HeldVm): InvalidStateError =>
  new InvalidStateError({
    state,
    expected: ['stopped', 'suspended'],
    reason: `it is ${state}, and the other directory is on another file system`,
    hint: 'Suspend it with vm.suspend(), and resume it there.',
  })
