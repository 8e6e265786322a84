/** How long do suspend and resume of a VM in a directory take, compared with v86's own save and restore on the same disk? */
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'awaitvm'
import type { V86 } from 'v86'
import { alternate } from './alternate.js'
import { folderOnDisk } from './bench-folder.js'
import { bootDebianV86, debianCommandLine, debianFiles, debianMemoryMiB, debianReady, printed } from './debian-v86.js'
import { compare, ratioAtMost, type Figure } from './figure.js'

export async function suspension(): Promise<Figure[]> {
  // Not in memory: both sides wait until the disk has what they write.
  using folder = folderOnDisk()
  await using server = await connect(`embedded://${folder.path}/vms`).unwrap()
  const { kernel, initrd } = await debianFiles()
  const vm = await server
    .createVm({
      name: 'debian',
      memoryMiB: debianMemoryMiB,
      boot: { kernel, initrd, commandLine: debianCommandLine },
      guest: { way: 'none' },
    })
    .unwrap()
  await vm.start().unwrap()
  await printed(vm, debianReady)
  await vm.suspend().unwrap()
  const v86 = await bootDebianV86()
  await v86.stop()
  const file = join(folder.path, 'state')
  const samples = await alternate(
    {
      'v86 save_state, written': () => timed(() => save(v86, file)),
      'v86 restore_state, read': () => timed(() => restore(v86, file)),
      'embedded resume': () => timed(() => vm.resume().unwrap()),
      'embedded suspend': () => timed(() => vm.suspend().unwrap()),
    },
    { rounds: 9, warmUps: 2 },
  )
  await v86.destroy()
  return [
    compare(samples, 'embedded suspend', 'v86 save_state, written', 'ms', ratioAtMost(1.5)),
    compare(samples, 'embedded resume', 'v86 restore_state, read', 'ms', ratioAtMost(1.5)),
  ]
}

async function save(v86: V86, path: string): Promise<void> {
  const state = await v86.save_state()
  const file = await open(path, 'w')
  await file.write(new Uint8Array(state))
  await file.sync()
  await file.close()
}

async function restore(v86: V86, path: string): Promise<void> {
  // A buffer of this size is not part of another one.
  await v86.restore_state((await readFile(path)).buffer)
}

async function timed(work: () => PromiseLike<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}
