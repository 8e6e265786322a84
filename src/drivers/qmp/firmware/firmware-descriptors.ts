import { readdir, readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { errorCode } from '../../../errors/native.js'

/** The code of a UEFI for flash memory, and the file that the variables of a new VM are copied from. */
export interface UefiFiles {
  readonly code: string
  readonly template: string
}

/** A UEFI that a package has installed. */
export interface InstalledUefi extends UefiFiles {
  /** The architectures that it is for, each with patterns of the machines that it runs on: `pc-q35-*`. */
  readonly targets: readonly { readonly architecture: string; readonly machines: readonly string[] }[]
  readonly features: readonly string[]
}

const rawFile = v.object({ filename: v.string(), format: v.literal('raw') })
/** A descriptor (QEMU's docs/interop/firmware.json), as far as it is needed; those of other kinds of firmware don't match. */
const descriptorSchema = v.object({
  'interface-types': v.pipe(v.array(v.string()), v.includes('uefi')),
  mapping: v.object({
    device: v.literal('flash'),
    mode: v.optional(v.literal('split')),
    executable: rawFile,
    'nvram-template': rawFile,
  }),
  targets: v.array(v.object({ architecture: v.string(), machines: v.array(v.string()) })),
  features: v.array(v.string()),
})

/**
 * The folders of packages, of the computer's administrator and of the user; a later one goes before an earlier one. Homebrew's is
 * not among them: its descriptors name folders of a version, which are gone after an upgrade.
 */
const folders = (root: string): string[] =>
  [
    '/usr/share/qemu/firmware',
    '/etc/qemu/firmware',
    join(process.env['XDG_CONFIG_HOME'] ?? join(homedir(), '.config'), 'qemu/firmware'),
  ].map((folder) => join(root, folder))

/**
 * Reads QEMU's descriptors of the UEFIs that are installed, the preferred ones first: by the names of their files. A file of the
 * same name in a folder with precedence replaces the other, and hides it if it is empty.
 */
export async function readFirmwareDescriptors(root: string): Promise<InstalledUefi[]> {
  const paths = new Map<string, string>()
  for (const folder of folders(root)) {
    for (const name of await namesIn(folder)) if (name.endsWith('.json')) paths.set(name, join(folder, name))
  }
  const sorted = [...paths].sort(([one], [other]) => (one < other ? -1 : 1))
  const found = await Promise.all(sorted.map(([, path]) => readDescriptor(path)))
  return found.flatMap((uefi) => uefi ?? [])
}

async function readDescriptor(path: string): Promise<InstalledUefi | undefined> {
  const text = await readFile(path, 'utf8')
  if (text === '') return undefined
  const parsed = v.safeParse(descriptorSchema, parseJson(text, path))
  if (!parsed.success) return undefined
  const { mapping, targets, features } = parsed.output
  return {
    code: mapping.executable.filename,
    template: mapping['nvram-template'].filename,
    targets,
    features,
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    // One damaged file does not hide the others.
    process.emitWarning(`${path} describes no firmware: ${String(error)}`, 'AwaitvmWarning')
    return undefined
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return []
    throw error
  }
}
