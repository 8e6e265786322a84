/** What goes wrong at present, and was told. */
const failing = new Set<string>()

/**
 * Does what nobody waits for: timers, watchers and listeners of awaitvm's own. What goes wrong is told as a warning, once until
 * it goes well again, and never ends the user's process.
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
