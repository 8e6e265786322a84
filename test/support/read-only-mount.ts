import { execFileSync } from 'node:child_process'
import type { TestContext } from 'vitest'
import { missingRoot, skipWithout } from './optional-tool.js'

/**
 * A mount over a folder that makes it read-only to all who come by its path, as a file system that is mounted anew. Who has a file open
 * for writing still has it, as a QEMU.
 */
export class ReadOnlyMount implements Disposable {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** Skips the test if nothing can be mounted. */
  static over(context: TestContext, folder: string): ReadOnlyMount {
    try {
      execFileSync('mount', ['--bind', folder, folder], { stdio: 'pipe' })
    } catch (error) {
      skipWithout(context, missingRoot ?? `a folder can't be mounted: ${String(error)}`)
      throw error
    }
    const mount = new ReadOnlyMount(folder)
    execFileSync('mount', ['-o', 'remount,bind,ro', folder])
    return mount
  }

  [Symbol.dispose](): void {
    // Lazily: something may still have a file in it open.
    execFileSync('umount', ['-l', this.#folder])
  }
}
