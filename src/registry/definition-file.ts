import { join } from 'node:path'
import { InsufficientResourcesError } from '../errors.js'
import { readOwnFile } from './own-file.js'
import { replaceFile } from './replace-file.js'
import type { WrittenVm } from './vm-format.js'

/** The file in a VM's folder that defines the VM. */
export const definitionFile = 'vm.json'

/** A definition with 30,000 snapshots has about 15 MB. */
const maxBytes = 16 * 2 ** 20

/** The text of a definition, not parsed yet. */
export const readDefinition = (folder: string): string => readOwnFile(join(folder, definitionFile), maxBytes)

/** Replaces a definition atomically. Throws if it would be too large to be read again. */
export async function writeDefinition(folder: string, definition: WrittenVm): Promise<void> {
  const text = JSON.stringify(definition)
  if (Buffer.byteLength(text) > maxBytes) {
    throw new InsufficientResourcesError({
      reason: `its definition would have more than ${String(maxBytes)} bytes`,
      hint: 'Delete snapshots with vm.deleteSnapshot().',
    })
  }
  await replaceFile(join(folder, definitionFile), text)
}
