import { hostTask } from '../../driver/host-task.js'
import type { Task } from '../../driver/task.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import type { Definition } from './definition.js'
import { endQemu } from './process/qemu-end.js'
import { readRun } from './process/run-record.js'

/** VMs that an operation of this connection still works on although its job has ended, for example since QEMU hangs. */
export class HeldUpVms {
  readonly #directory: VmDirectory<Definition>
  readonly #operations = new Set<{ readonly id: string }>()

  constructor(directory: VmDirectory<Definition>) {
    this.#directory = directory
  }

  /** Call it when an operation begins, and the returned function when it ends. */
  follow(id: string, task: Task): () => void {
    const operation = { id }
    const forget = hostTask(task).onGivenUp(() => this.#operations.add(operation))
    return () => {
      forget()
      this.#operations.delete(operation)
    }
  }

  has(id: string): boolean {
    return [...this.#operations].some((operation) => operation.id === id)
  }

  /** Ends the VM's QEMU, and with it the operation. */
  async free(id: string): Promise<void> {
    const folder = this.#directory.folder(id)
    const run = readRun(folder)
    if (run !== undefined) await endQemu(folder, run.process)
  }
}
