/** Compiles the benchmarks to plain JavaScript: a TypeScript loader would distort the figures. */
import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { build } from 'tsup'

/** Inside the package, so that `awaitvm` resolves to it; and ignored by git. */
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
    // One file for each benchmark, so that `import.meta.url` is beside the others.
    splitting: false,
    skipNodeModulesBundle: true,
    external: [/^awaitvm/],
    removeNodeProtocol: false,
    outDir,
    silent: true,
  })
  return compiled
}
