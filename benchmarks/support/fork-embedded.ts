/** Clones with memory of one booted Debian on the embedded host, and v86's own `restore_state` into threads that have a v86 ready. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { connect, type Server, type Snapshot, type Vm } from 'awaitvm'
import { bootDebianV86, debianCommandLine, debianFiles, debianMemoryMiB, debianReady } from './debian-v86.js'
import { cloneNames, timedBoots, timedClones } from './forks.js'
import { untilPrinted } from './question.js'

export class ForkedEmbedded implements AsyncDisposable {
  readonly #server: Server
  readonly #golden: Vm
  readonly #snapshot: Snapshot
  readonly #state: Uint8Array<SharedArrayBuffer>

  private constructor(server: Server, golden: Vm, snapshot: Snapshot, state: Uint8Array<SharedArrayBuffer>) {
    this.#server = server
    this.#golden = golden
    this.#snapshot = snapshot
    this.#state = state
  }

  static async boot(): Promise<ForkedEmbedded> {
    const server = await connect('embedded:').unwrap()
    const golden = await create(server, 'golden')
    await golden.start().unwrap()
    await untilPrinted(golden, debianReady)
    const snapshot = await golden.createSnapshot({ name: 'booted' }).unwrap()
    await golden.stop({ mode: 'kill' }).unwrap()
    const v86 = await bootDebianV86()
    await v86.stop()
    const saved = new Uint8Array(await v86.save_state())
    await v86.destroy()
    const state = new Uint8Array(new SharedArrayBuffer(saved.byteLength))
    state.set(saved)
    return new ForkedEmbedded(server, golden, snapshot, state)
  }

  /** Milliseconds until the last of the clones has answered. */
  async clones(count: number): Promise<number> {
    const { vms, taken } = await timedClones(this.#golden, this.#snapshot, count)
    await Promise.all(vms.map((vm) => vm.delete({ force: true }).unwrap()))
    return taken
  }

  async bare(count: number): Promise<number> {
    const threads: Worker[] = []
    for (let made = 0; made < count; made += 1) {
      const thread = new Worker(new URL('v86-restore-worker.js', import.meta.url))
      threads.push(thread)
      await once(thread, 'message')
    }
    const start = performance.now()
    await Promise.all(
      threads.map((thread) => {
        thread.postMessage(this.#state)
        return once(thread, 'message')
      }),
    )
    const taken = performance.now() - start
    await Promise.all(threads.map((thread) => thread.terminate()))
    return taken
  }

  async boots(count: number): Promise<number> {
    const vms = await Promise.all(cloneNames(count).map((name) => create(this.#server, name)))
    const { taken } = await timedBoots(vms, debianReady)
    await Promise.all(vms.map((vm) => vm.delete({ force: true }).unwrap()))
    return taken
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.close().unwrap()
  }
}

async function create(server: Server, name: string): Promise<Vm> {
  const { kernel, initrd } = await debianFiles()
  const boot = { kernel, initrd, commandLine: debianCommandLine }
  return await server
    .createVm({ name, memoryMiB: debianMemoryMiB, boot, disks: [{ sizeMiB: 1 }], guest: { way: 'none' } })
    .unwrap()
}
