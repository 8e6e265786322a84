import { readdir, realpath, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as v from 'valibot'
import { AlreadyExistsError, InvalidArgumentError, ResourceBusyError } from '../../../errors.js'
import { errorCode, nativeErrorOf } from '../../../errors/native.js'
import { areDistinct } from '../../../model/schema.js'
import { validate } from '../../../errors/validate.js'
import { isConverted, verifyFormats } from '../../../files/image-record.js'
import { readQcow2Header, type Qcow2Header } from '../../../images/qcow2-header.js'
import { descriptionSchema, vmNameSchema } from '../../../model/vm-spec.js'
import { Claim, heldBy, isDamagedClaim } from '../../../registry/claim.js'
import { isAlive } from '../../../registry/process-identity.js'
import {
  NotOwnError,
  openOwn,
  requireOwnEntry,
  requireOwnFolder,
  type FolderIdentity,
} from '../../../registry/own-file.js'
import type { VmDirectory } from '../../../registry/vm-directory.js'
import { definitionFormat } from '../definition-format.js'
import { allDisks, mayBeShared, isSeedFile, type Definition, type DiskDefinition } from '../definition.js'
import { imageFileOf, type KnownImages } from '../disks/disk-chain.js'
import { checkHardware } from '../hardware/hardware.js'
import { isTpmState } from '../hardware/tpm-state.js'
import { isSign } from '../process/qemu-process.js'
import { readRun } from '../process/run-record.js'

/** The folder of a VM that is to be registered. */
export interface FoundVm {
  readonly folder: string
  readonly identity: FolderIdentity
  readonly definition: Definition
}

const mebibyte = 2 ** 20
/** More files than a VM's folder ever has. */
const maxEntries = 10_000
/** The permission bits that let the group and others change a folder. */
const othersMayWrite = 0o022
const labelsSchema = v.object({ name: vmNameSchema, description: descriptionSchema })

/**
 * Checks a folder that is to become a VM's. It is untrusted: it must have all files of the VM, refer to nothing outside except what a
 * spec may name, and not be in use.
 */
export async function findVm(directory: VmDirectory<Definition>, path: string): Promise<FoundVm> {
  const folder = await realpath(path).catch((error: unknown) => {
    throw notThere(path, error)
  })
  await requireUnregistered(directory, folder)
  const { dev, ino, mode } = checkOwn(folder, requireOwnFolder)
  if ((mode & othersMayWrite) !== 0) throw wrong(`${folder} can be written to by others`, `chmod 700 ${folder}`)
  await checkEntries(folder)
  const definition = await directory.readFrom(folder)
  if (definition === undefined) throw wrong(`there is no VM at ${path}: it has no vm.json`)
  if (definition.owner !== undefined) throw wrong(`the VM in ${folder} was ephemeral, and ended with its connection`)
  await checkDefinition(definition)
  if (dirname(folder) !== join(await realpath(directory.root), 'unregistered')) refuseReach(definition)
  const disks = disksByFile(definition)
  for (const file of definitionFormat.filesOf(definition)) {
    if (isSeedFile(file) || isTpmState(file)) {
      await (await openFile(join(folder, file), false)).close()
      continue
    }
    const sizeMiB = allDisks(definition.hardware).find((disk) => disk.file === file)?.sizeMiB
    await checkFile(folder, file, disks.get(file), sizeMiB)
  }
  const holder = Claim.holder(directory.member, folder)
  if (holder !== undefined) throw heldBy(holder)
  const run = readRun(folder)
  if (run !== undefined && isAlive(run.process, folder)) {
    const reason = `QEMU runs it, as the process ${String(run.process.pid)}`
    throw new ResourceBusyError({ pid: run.process.pid, reason, hint: 'Stop it where it runs.' })
  }
  return { folder, identity: { dev, ino }, definition }
}

async function requireUnregistered(directory: VmDirectory<Definition>, folder: string): Promise<void> {
  const owner = await directory.ownerOf(folder)
  if (owner === undefined) return
  if (owner === (await realpath(directory.root))) {
    throw new AlreadyExistsError({
      reason: `the VM at ${folder} is registered already`,
      hint: 'server.getVm() finds it.',
    })
  }
  const hint = `Unregister it there, or move it with vm.migrate('qmp://${directory.root}').`
  throw wrong(`the VM at ${folder} is registered in ${owner}`, hint)
}

/** Refuses links and folders, through which a program could be made to write elsewhere. */
async function checkEntries(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw notThere(folder, error)
  })
  if (entries.length > maxEntries) throw wrong(`${folder} has more than ${String(maxEntries)} files`)
  for (const entry of entries) {
    if (!entry.isFile() && !entry.isSocket() && !(entry.isFIFO() && isSign(entry.name)))
      throw wrong(`${join(folder, entry.name)} is not a file`)
    if (isDamagedClaim(entry.name)) throw wrong(`${join(folder, entry.name)} is not one of a VM's files`)
    checkOwn(join(folder, entry.name), (path) => {
      requireOwnEntry(path, { isShared: mayBeShared(entry.name) })
    })
  }
}

async function checkDefinition(definition: Definition): Promise<void> {
  const { name, description, hardware, snapshots } = definition
  if (definition.movingTo !== undefined || definition.movedFrom !== undefined) throw wrong('it is being moved')
  const labels = validate(labelsSchema, { name, description }, 'path')
  if (labels.isErr()) throw labels.error
  for (const part of [hardware, ...snapshots.map((snapshot) => snapshot.hardware)]) {
    if (!areDistinct(allDisks(part).map(({ id }) => id))) throw wrong('two disks have the same id')
  }
  const { images } = hardware
  const disks = hardware.disks.map((disk) =>
    disk.image !== undefined && isConverted(images[disk.image]) ? { ...disk, image: undefined } : disk,
  )
  await checkHardware({ ...hardware, disks }, undefined, 'path')
  for (const part of [hardware, ...snapshots.map((snapshot) => snapshot.hardware)]) await verifyFormats(part, 'qmp')
}

/**
 * QEMU's own arguments name files to write to, and shares folders that the guest may write to, so that those of another directory are
 * not taken from a file.
 */
function refuseReach({ hardware, snapshots }: Definition): void {
  const parts = [hardware, ...snapshots.map((snapshot) => snapshot.hardware)]
  const wayOut = (setting: string): string =>
    `Look at ${setting} in its vm.json; if you trust them, take them out, register it, and set them with vm.edit().`
  if (parts.some(({ extraArguments = [] }) => extraArguments.length > 0)) {
    throw wrong('it gives arguments of its own to QEMU, which may write to any file of yours', wayOut('extraArguments'))
  }
  const shared = parts.flatMap(({ shares = [] }) => shares.map(({ path }) => path))
  if (shared.length === 0) return
  throw wrong(`it shares folders of this computer with its guest: ${shared.slice(0, 3).join(', ')}`, wayOut('shares'))
}

interface FoundDisk {
  readonly disk: DiskDefinition
  readonly known: KnownImages
}

/** The disk that each file belongs to, as its own file or as a base; files of saved memory have none. */
function disksByFile({ hardware, snapshots }: Definition): ReadonlyMap<string, FoundDisk> {
  const found = new Map<string, FoundDisk>()
  for (const known of [hardware, ...snapshots.map((snapshot) => snapshot.hardware)]) {
    for (const disk of allDisks(known)) {
      const chain = [disk.file, ...(disk.bases ?? [])]
      for (const [index, file] of chain.entries()) {
        if (!found.has(file)) found.set(file, { disk: { ...disk, file, bases: chain.slice(index + 1) }, known })
      }
    }
  }
  return found
}

/** Refuses files of other users, who could replace them during the checks. */
function checkOwn<T>(path: string, require: (path: string) => T): T {
  try {
    return require(path)
  } catch (error) {
    if (!(error instanceof NotOwnError)) throw notThere(path, error)
    throw wrong(`${path} is refused: ${error.message}`, 'Make a copy of it as this user, and register that.')
  }
}

async function checkFile(
  folder: string,
  file: string,
  found: FoundDisk | undefined,
  sizeMiB: number | undefined,
): Promise<void> {
  const path = join(folder, file)
  const header = await readHeader(path, mayBeShared(file))
  if (header === undefined) throw wrong(`${path} is not a qcow2 file`)
  const expected = found && imageFileOf(folder, found.disk, found.known).backing?.path
  if (header.hasDataFile) throw wrong(`${path} has its data in another file`)
  if (sizeMiB !== undefined && header.diskBytes !== sizeMiB * mebibyte) {
    throw wrong(`${path} is a disk of ${String(header.diskBytes)} bytes, and must have ${String(sizeMiB)} MiB`)
  }
  if (header.backing !== expected) {
    throw wrong(`${path} has the backing file ${header.backing ?? 'none'}, and must have ${expected ?? 'none'}`)
  }
}

async function readHeader(path: string, isShared: boolean): Promise<Qcow2Header | undefined> {
  const file = await openFile(path, isShared)
  try {
    return await readQcow2Header(file)
  } finally {
    await file.close()
  }
}

const openFile = (path: string, isShared: boolean): Promise<FileHandle> =>
  openOwn(path, { isShared }).catch((error: unknown) => {
    throw error instanceof NotOwnError ? wrong(`${path} is refused: ${error.message}`) : notThere(path, error)
  })

const wrong = (reason: string, hint?: string): InvalidArgumentError =>
  new InvalidArgumentError({ path: 'path', reason, hint })

function notThere(path: string, cause: unknown): InvalidArgumentError {
  const native = nativeErrorOf('qmp', cause)
  const isMissing = errorCode(cause) === 'ENOENT'
  const reason = isMissing ? `${path} is not there` : `${path} can't be read: ${native.message}`
  return new InvalidArgumentError({ path: 'path', reason, cause, native })
}
