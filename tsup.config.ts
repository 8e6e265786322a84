import { defineConfig, type Options } from 'tsup'

const common = {
  target: 'node20',
  platform: 'node',
  removeNodeProtocol: false,
} as const satisfies Options

export default defineConfig([
  {
    ...common,
    entry: {
      index: 'src/index.ts',
      driver: 'src/driver/index.ts',
      testing: 'src/testing/index.ts',
      'testing-conformance': 'src/testing/conformance/index.ts',
      'testing-vitest': 'src/testing/vitest.ts',
      cli: 'src/cli/main.ts',
    },
    format: 'esm',
    // Keeps each driver in a chunk of its own, loaded by the dynamic import in `connect`.
    splitting: true,
    dts: {
      compilerOptions: { stripInternal: true },
      entry: {
        index: 'src/index.ts',
        driver: 'src/driver/index.ts',
        testing: 'src/testing/index.ts',
        'testing-conformance': 'src/testing/conformance/index.ts',
        'testing-vitest': 'src/testing/vitest.ts',
      },
    },
    // The two builds run side by side: this one must not remove what the other has written.
    clean: ['!embedded-worker.*'],
  },
  {
    ...common,
    entry: { 'embedded-worker': 'src/drivers/embedded/worker.ts' },
    // One file, and no ES module: a thread that imports nothing does not start Node's module loader.
    format: 'cjs',
    splitting: false,
    // Each thread parses it anew.
    minify: true,
  },
])
