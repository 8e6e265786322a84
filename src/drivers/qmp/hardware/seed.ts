import { randomUUID } from 'node:crypto'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { hostnameIn, withoutOwnName } from '../../../cloud-init/hostname.js'
import { seedImage } from '../../../cloud-init/seed.js'
import type { CloudInit, CloudInitConfig } from '../../../model/cloud-init.js'
import { cloudInitSchema } from '../../../model/cloud-init-schema.js'
import type { VmChanges } from '../../../model/vm-spec.js'
import { copyFiles } from '../../../registry/copy-files.js'
import { problemWith, remedyFor } from '../../../registry/file-problem.js'
import { readOwnBytes } from '../../../registry/own-file.js'
import { parseJson } from '../../../registry/written-json.js'
import { newKeyPair } from '../../../ssh/new-key-pair.js'
import { ownKeyFile, seedFiles, type Hardware, type Seed } from '../definition.js'

/** A JSON text has at most six bytes for one byte in the seed, which has at most 8 MiB. */
const maxSettingsBytes = 64 * 2 ** 20

/** The seed that a VM is to have, and the key by which its guest is reached. */
export interface SeedPlan {
  readonly hardware: Pick<Hardware, 'seed' | 'ownKey'>
  /** Whether cloud-init takes the guest for another instance by it. */
  readonly isNew: boolean
  /** Writes the files of a new seed. They are never written to again. */
  readonly write: (folder: string) => Promise<void>
}

const kept = (hardware: SeedPlan['hardware']): SeedPlan => ({ hardware, isNew: false, write: () => Promise.resolve() })

/** The seed that a spec or an edit leads to. The guest goes on to know the key of a seed that is taken away. */
export function planSeed(
  { cloudInit }: Pick<VmChanges, 'cloudInit'>,
  vmName: string,
  { seed, ownKey }: SeedPlan['hardware'],
  root: string,
): SeedPlan {
  if (cloudInit === undefined) return kept({ seed, ownKey })
  if (cloudInit === false) return kept({ seed: undefined, ownKey })
  return newSeed(cloudInit, vmName, `${root}.cloudInit`)
}

/** The seed of a clone, which cloud-init takes for another instance. Without one, its guest knows the key of the original. */
export async function cloneSeed(
  folder: string,
  { seed, ownKey }: SeedPlan['hardware'],
  cloneName: string,
  signal: AbortSignal,
): Promise<SeedPlan> {
  if (seed !== undefined)
    return newSeed(await readSettings(join(folder, seedFiles(seed).settings)), cloneName, 'config.cloudInit')
  const keyFiles = ownKey === undefined ? [] : [ownKeyFile(ownKey)]
  const write = (to: string): Promise<void> => copyFiles(folder, to, keyFiles, { signal, onProgress: () => undefined })
  return { hardware: { seed, ownKey }, isNew: false, write }
}

function newSeed(settings: CloudInit, vmName: string, path: string): SeedPlan {
  const seed = { id: randomUUID(), hostname: hostnameIn(settings, vmName) }
  const [login, hostKey] = [newKeyPair(), newKeyPair()]
  const ownKey = { id: seed.id, hostKey: hostKey.publicKey }
  const image = seedImage(settings, shownSeed(seed), { authorizedKey: login.publicKey, hostKey }, path)
  const files = seedFiles(seed)
  return {
    hardware: { seed, ownKey },
    isNew: true,
    async write(folder) {
      await writeNew(join(folder, files.image), image)
      await writeNew(join(folder, files.settings), JSON.stringify(withoutOwnName(settings, vmName)))
      await writeNew(join(folder, ownKeyFile(ownKey)), login.privateKey)
    },
  }
}

/** What `vm.config` shows of a seed. */
export const shownSeed = ({ id, hostname }: Seed): CloudInitConfig => ({ hostname, instanceId: id })

async function readSettings(path: string): Promise<CloudInit> {
  try {
    return parseJson(cloudInitSchema, (await readOwnBytes(path, maxSettingsBytes)).toString())
  } catch (error) {
    const hint = `${remedyFor(error)}, or take the seed away with vm.edit({ cloudInit: false }).`
    throw problemWith(path, error, { driver: 'qmp', hint })
  }
}

async function writeNew(path: string, content: Uint8Array | string): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  await file.writeFile(content)
  await file.sync()
}
