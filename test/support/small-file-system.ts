import { execFileSync } from 'node:child_process'
import { statfsSync } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'vitest'
import { missingRoot, skipWithout } from './optional-tool.js'

/** A file system of a few MiB, for tests of a full disk. */
export class SmallFileSystem implements AsyncDisposable {
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  /** Skips the test if none can be mounted. */
  static async mount(context: TestContext): Promise<SmallFileSystem> {
    const folder = await mkdtemp(join(tmpdir(), 'awaitvm-full-'))
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', folder], { stdio: 'pipe' })
    } catch (error) {
      await rm(folder, { recursive: true })
      skipWithout(context, missingRoot ?? `a small file system can't be mounted: ${String(error)}`)
      throw error
    }
    return new SmallFileSystem(folder)
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.folder)
    return bavail * bsize
  }

  /** Fills it but for so many KiB. Answers the file that takes the space. */
  async fill(leftKiB: number): Promise<string> {
    const file = join(this.folder, 'filler')
    const handle = await open(file, 'w')
    try {
      await handle.write(Buffer.alloc(Math.max(0, this.freeBytes - leftKiB * 1024)))
    } finally {
      await handle.close()
    }
    return file
  }

  async [Symbol.asyncDispose](): Promise<void> {
    execFileSync('umount', ['-l', this.folder])
    await rm(this.folder, { recursive: true })
  }
}
