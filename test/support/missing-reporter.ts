import type { Reporter, TestModule, Vitest } from 'vitest/node'

/** Prints at the end of a run which tests were skipped because something is not installed, and how to install it. */
export class MissingReporter implements Reporter {
  readonly #unmeasured: readonly string[]
  #isMeasuring = false

  /** @param unmeasured the sources that the coverage leaves out, since only such tests reach them */
  constructor(unmeasured: readonly string[]) {
    this.#unmeasured = unmeasured
  }

  onInit(vitest: Vitest): void {
    this.#isMeasuring = vitest.config.coverage.enabled
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = new Map<string, number>()
    for (const module of modules) {
      for (const test of module.children.allTests('skipped')) {
        const { missing } = test.meta()
        if (missing !== undefined) counts.set(missing, (counts.get(missing) ?? 0) + 1)
      }
    }
    const lines = [
      ...[...counts].map(([missing, count]) => `${String(count)} tests: ${missing}`),
      ...(this.#isMeasuring ? this.#unmeasured : []).map(
        (sources) => `coverage of ${sources}: only those tests reach it`,
      ),
    ]
    if (lines.length === 0) return
    // Below the table of the coverage, which is printed later.
    process.once('exit', () => {
      console.log(['\nNot tested on this machine:', ...lines].join('\n  '))
    })
  }
}
