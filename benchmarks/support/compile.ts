/** Compiles the benchmarks to plain JavaScript: a loader of TypeScript would be a part of what is measured. */
import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { build } from 'tsup'

/** Within the package, so that `awaitvm` is the package itself; and ignored like all that is built. */
const outDir = 'dist/benchmarks'

export interface Compiled extends AsyncDisposable {
  path(name: string): string
}

export async function compile(): Promise<Compiled> {
  const compiled: Compiled = {
    path: (name) => resolve(join(outDir, `${name}.js`)),
    [Symbol.asyncDispose]: () => rm(outDir, { recursive: true, force: true }),
  }
  await build({
    config: false,
    tsconfig: 'tsconfig.bench.json',
    entry: ['benchmarks/*.ts', '!benchmarks/run.ts'],
    format: 'esm',
    target: 'node20',
    platform: 'node',
    // Otherwise each benchmark is one file, and finds those beside it wherever it was imported from.
    splitting: false,
    skipNodeModulesBundle: true,
    external: [/^awaitvm/],
    removeNodeProtocol: false,
    outDir,
    silent: true,
  })
  return compiled
}
