/** The work that fails at present, and of which a warning was emitted. */
const failing = new Set<string>()

/**
 * Does work that nobody waits for: timers, watchers and listeners of awaitvm's own. A failure emits a warning, once until the work
 * succeeds again, and never ends the user's process.
 */
export function inBackground(what: string, work: () => void | Promise<void>): void {
  const succeed = (): void => void failing.delete(what)
  const fail = (error: unknown): void => {
    if (failing.has(what)) return
    failing.add(what)
    process.emitWarning(`${what}: ${String(error)}`, 'AwaitvmWarning')
  }
  try {
    const working = work()
    if (working === undefined) succeed()
    else working.then(succeed, fail)
  } catch (error) {
    fail(error)
  }
}
