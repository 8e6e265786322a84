import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { TestContext } from 'vitest'

/** With `AWAITVM_TEST_HOSTS=all`, a test that cannot run because something is missing fails. */
export const skipWithout = (context: TestContext, missing: string | undefined): void => {
  if (missing === undefined) return
  if (process.env['AWAITVM_TEST_HOSTS'] === 'all') throw new Error(missing)
  context.skip(missing)
}

export const missingTools = (...tools: readonly string[]): string | undefined => {
  const missing = tools.filter((tool) => !canRun(tool))
  return missing.length === 0 ? undefined : `not installed: ${missing.join(', ')}`
}

export const missingFile = (path: string, hint: string): string | undefined =>
  existsSync(path) ? undefined : `${path} is missing: ${hint}`

const canRun = (tool: string): boolean => {
  try {
    execFileSync(tool, ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
