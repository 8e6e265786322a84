import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * A folder that is built once, into `$AWAITVM_FIXTURES` or the temporary folder, and kept for later runs.
 *
 * @param name to be changed with what is built, so that an older build is not used
 * @param build makes the content in the folder `result`; all else in `work` is removed
 */
export async function builtOnce(name: string, build: (result: string, work: string) => Promise<void>): Promise<string> {
  const cache = process.env['AWAITVM_FIXTURES'] ?? join(tmpdir(), 'awaitvm-fixtures')
  const folder = join(cache, name)
  if (existsSync(folder)) return folder
  await mkdir(cache, { recursive: true })
  const work = await mkdtemp(join(cache, 'building-'))
  try {
    const result = join(work, 'result')
    await mkdir(result)
    await build(result, work)
    // Renamed as the last step, so that the folder is complete even if several processes build it at once.
    await rename(result, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error
    })
    return folder
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}
