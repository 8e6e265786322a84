/** The reference of the public API: `npm run docs` makes it, `npm run check` sees whether all of it is documented. */
const config = {
  entryPoints: [
    'src/index.ts',
    'src/driver/index.ts',
    'src/testing/index.ts',
    'src/testing/vitest.ts',
    'src/testing/conformance/index.ts',
  ],
  out: 'docs',
  readme: 'README.md',
  excludeInternal: true,
  excludePrivate: true,
  excludeExternals: true,
  disableSources: true,
  treatValidationWarningsAsErrors: true,
  validation: { notExported: true, invalidLink: true, invalidPath: true, rewrittenLink: true, notDocumented: true },
}
export default config
