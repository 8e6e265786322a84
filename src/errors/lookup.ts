import { errorCode } from './native.js'
import {
  AlreadyExistsError,
  InvalidArgumentError,
  ResourceBusyError,
  SnapshotNotFoundError,
  VmNotFoundError,
  type NativeError,
} from '../errors.js'

/** Error for a new name that another VM has. */
export const nameIsTaken = (name: string, id: string): AlreadyExistsError =>
  new AlreadyExistsError({
    reason: `there is already a VM named ${JSON.stringify(name)}, with the id ${id}`,
    hint: 'Choose another name, or delete that VM.',
  })

/** Error for a VM that is to be registered, whose id another VM has. */
export const idIsTaken = (id: string, name: string): AlreadyExistsError =>
  new AlreadyExistsError({
    reason: `there is already a VM with the id ${id}, named ${JSON.stringify(name)}`,
    hint: 'It may be the same one. If it is not wanted, delete it.',
  })

/** Error for a new name that is the id of another VM. */
export const nameIsId = (name: string): AlreadyExistsError =>
  new AlreadyExistsError({
    reason: `the name ${JSON.stringify(name)} is the id of another VM`,
    hint: 'Choose another name: an id goes before a name.',
  })

/** Error for a VM that is to be registered, whose id is the name of another VM. */
export const idIsName = (id: string, otherId: string): AlreadyExistsError =>
  new AlreadyExistsError({
    reason: `its id ${id} is the name of the VM with the id ${otherId}`,
    hint: 'Rename that VM with vm.edit(): an id goes before a name.',
  })

/** Error for a VM that the host does not have. */
export const vmNotFound = (nameOrId: string): VmNotFoundError =>
  new VmNotFoundError({
    reason: `there is no VM with the name or id ${JSON.stringify(nameOrId)}`,
    hint: 'server.getVmList() lists all VMs.',
  })

/** Error for a new snapshot whose name another snapshot of the VM has. */
export const snapshotNameIsTaken = (name: string): AlreadyExistsError =>
  new AlreadyExistsError({
    reason: `it already has a snapshot named ${JSON.stringify(name)}`,
    hint: 'Choose another name, or delete that snapshot.',
  })

/** Error for a snapshot that the VM does not have. */
export const snapshotNotFound = (idOrName: string): SnapshotNotFoundError =>
  new SnapshotNotFoundError({
    reason: `it has no snapshot with the id or name ${JSON.stringify(idOrName)}`,
    hint: 'vm.getSnapshotTree() lists all snapshots.',
  })

/** The error of failed work on a VM. If a file is missing and so is the VM, the VM was deleted. */
export async function unlessDeleted(error: unknown, id: string, find: () => Promise<unknown>): Promise<unknown> {
  const code = errorCode(error instanceof Error && error.cause !== undefined ? error.cause : error)
  const isMissing = code === 'ENOENT' || code === 'ENOTDIR'
  return isMissing && (await find()) === undefined ? vmNotFound(id) : error
}

/** Error for an image that the cache does not have. */
export const imageNotFound = (id: string): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'id',
    reason: `the cache has no image ${JSON.stringify(id.slice(0, 200))}`,
    hint: 'server.images.list() tells the ids.',
  })

/** Error for an image that is to be removed, and which these VMs start from, or those in these folders. */
export const imageIsUsed = (names: readonly string[], kind: 'disks of' | 'VMs in' = 'disks of'): ResourceBusyError =>
  new ResourceBusyError({
    reason: `the ${kind} ${names.slice(0, 5).join(', ')}${names.length > 5 ? ', …' : ''} start from the image`,
    hint: 'Delete those VMs, or their snapshots with that disk, first.',
    retryable: false,
  })

/** Error for a command that the QEMU of a VM does not have. */
export const commandNotFound = (command: string, native?: NativeError): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'command',
    reason: `command is ${JSON.stringify(command)}, which its QEMU does not have`,
    hint: "vm.native.qmp('query-commands') tells what it has.",
    native,
  })
