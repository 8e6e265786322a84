/**
 * How much longer do calls take in a directory of 3,000 VMs than in one of 10, and how long do linked clones, suspend and resume take?
 */
import { join } from 'node:path'
import { folderInMemory } from './support/bench-folder.js'
import { directoryCalls, fillDirectory, type DirectoryCalls } from './support/directory-vms.js'
import { compare, ratioAtMost, report, type Figure } from './support/figure.js'
import { linkedClones } from './support/linked-clones.js'
import { suspension } from './support/suspension.js'

using folder = folderInMemory()

const sizes = { few: 10, many: 3000 }
/** The list has all VMs in it, and takes as long as they are many. */
const goals = { create: ratioAtMost(2), find: ratioAtMost(2), list: undefined }

async function growth(host: string): Promise<Figure[]> {
  const uriOf = (size: keyof typeof sizes): string => `${host}://${join(folder.path, `${host}-${size}`)}`
  const uris = { few: uriOf('few'), many: uriOf('many') }
  await fillDirectory(uris.few, sizes.few)
  await fillDirectory(uris.many, sizes.many)
  const rounds: Record<keyof typeof sizes, DirectoryCalls[]> = { few: [], many: [] }
  for (let round = 0; round < 7; round += 1) {
    // Each in a new process, as a call of the command is.
    rounds.few.push(await directoryCalls(uris.few))
    rounds.many.push(await directoryCalls(uris.many))
  }
  return (['create', 'find', 'list'] as const).map((call) => {
    const few = `${call} among ${sizes.few} VMs of ${host}`
    const many = `${call} among ${sizes.many} VMs of ${host}`
    const samples = { [few]: rounds.few.map((calls) => calls[call]), [many]: rounds.many.map((calls) => calls[call]) }
    return compare(samples, many, few, 'ms', goals[call])
  })
}

report([...(await growth('embedded')), ...(await growth('qmp')), ...(await linkedClones()), ...(await suspension())])
