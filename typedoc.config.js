/** The reference of the public API. `npm run docs` makes it; `npm run check` fails if a part of it is not documented. */
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
  externalSymbolLinkMappings: { neverthrow: { '*': '#' } },
  treatValidationWarningsAsErrors: true,
  validation: { notExported: true, invalidLink: true, invalidPath: true, rewrittenLink: true, notDocumented: true },
  // What only computes a public type.
  intentionallyNotExported: [
    'diskFileFormats',
    'features',
    'guestFileErrnos',
    'guestFileTypes',
    'Handlers',
    'numbers',
    'OperationMethods',
    'Partly',
    'Returned',
    'table',
  ],
}
export default config
