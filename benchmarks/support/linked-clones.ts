/** How long do linked clones in a batch take, compared with the overlays that qemu-img makes, four at a time? */
import { execFile } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { batch, connect } from 'awaitvm'
import PQueue from 'p-queue'
import { alternate } from './alternate.js'
import { folderOnDisk } from './bench-folder.js'
import { compare, ratioAtMost, type Figure } from './figure.js'

const run = promisify(execFile)

const count = 20
const concurrency = 4
const diskBytes = 2 ** 24

export async function linkedClones(): Promise<Figure[]> {
  using folder = folderOnDisk()
  const image = join(folder.path, 'image.raw')
  await writeFile(image, Buffer.alloc(diskBytes, 1))
  await using server = await connect(`qmp://${folder.path}/vms`).unwrap()
  const original = await server.createVm({ name: 'original', disks: [{ image }] }).unwrap()
  let round = 0
  const ours = async (): Promise<number> => {
    round += 1
    const names = Array.from({ length: count }, (_, serial) => `clone-${round}-${serial}`)
    const start = performance.now()
    const { succeeded } = await batch(names, (name) => original.clone({ name, linked: true }), {
      concurrency,
    }).unwrap()
    const spent = performance.now() - start
    for (const { result } of succeeded) await result.value.delete().unwrap()
    return spent
  }
  const bare = async (): Promise<number> => {
    const target = join(folder.path, 'overlays')
    await mkdir(target)
    const queue = new PQueue({ concurrency })
    const start = performance.now()
    await queue.addAll(
      Array.from({ length: count }, (_, serial) => async () => {
        const path = join(target, `${serial}.qcow2`)
        await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', image, '-F', 'raw', path])
      }),
    )
    const spent = performance.now() - start
    await rm(target, { recursive: true })
    return spent
  }
  const samples = await alternate(
    { [`${count} linked clones in a batch`]: ours, 'qemu-img, four at a time': bare },
    { rounds: 7, warmUps: 1 },
  )
  return [compare(samples, `${count} linked clones in a batch`, 'qemu-img, four at a time', 'ms', ratioAtMost(1.3))]
}
