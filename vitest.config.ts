import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { MissingReporter } from './test/support/missing-reporter.js'
import { missingLibvirt, missingQemu, missingSsh } from './test/support/optional-tool.js'

const fromRoot = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** Sources that only tests with programs reach which are not on this machine. */
const unmeasured = [
  ...(missingQemu === undefined ? [] : ['src/drivers/qmp/**']),
  ...(missingLibvirt === undefined ? [] : ['src/drivers/libvirt/**']),
  ...(missingSsh === undefined ? [] : ['src/drivers/parallels/ssh-transport.ts']),
]

export default defineConfig({
  resolve: {
    alias: [
      { find: /^awaitvm$/, replacement: fromRoot('src/index.ts') },
      { find: /^awaitvm\/driver$/, replacement: fromRoot('src/driver/index.ts') },
      { find: /^awaitvm\/testing\/vitest$/, replacement: fromRoot('src/testing/vitest.ts') },
      { find: /^awaitvm\/testing\/conformance$/, replacement: fromRoot('src/testing/conformance/index.ts') },
      { find: /^awaitvm\/testing$/, replacement: fromRoot('src/testing/index.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    typecheck: {
      enabled: true,
      include: ['test/types/**/*.test-d.ts'],
      // `npm run check` reports the errors of all other files.
      ignoreSourceErrors: true,
    },
    reporters: ['default', new MissingReporter(unmeasured)],
    pool: 'forks',
    // Some tests run real virtual machines, each busy with a core of its own.
    maxWorkers: 2,
    // A guard against a test that hangs, not a measure of how fast it should be: a busy machine takes many times as long.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      exclude: [
        '**/*.d.ts',
        'src/cli/**',
        // Test code itself.
        'src/testing/conformance/**',
        // Runs in worker threads, where V8's coverage of the test process does not reach.
        'src/drivers/embedded/worker.ts',
        ...unmeasured,
      ],
      reporter: ['text'],
      reportOnFailure: true,
      thresholds: { lines: 95 },
    },
  },
})
