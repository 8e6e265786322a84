/** Files at the top that belong to the lowest layer, as `src/errors/` and `src/model/` do. */
const base =
  '(background|clock|errors|exclusive|guest-operation-rows|line-splitter|operation-errors|operation-spec|operations|result|vm-error)\\.ts$'

/** What may import what: a file imports its own layer and those below it. The lowest layer comes first. */
const layers = [
  { name: 'base', path: `^src/((errors|model)/|${base})` },
  { name: 'parts', path: '^src/(cloud-init|console|files|images|keyboard|network|registry)/' },
  { name: 'driver kit', path: '^src/driver/(?!index\\.ts$)' },
  { name: 'guest and host access', path: '^src/(guest|guest-agent|ssh)/' },
  { name: 'drivers', path: '^src/drivers/' },
  { name: 'jobs', path: '^src/job/' },
  // Every other file at the top but the entry point.
  { name: 'facades', path: `^src/(exec/|(?!${base}|index[.]ts$)[^/]+[.]ts$)` },
  { name: 'batches', path: '^src/batch/' },
  { name: 'testing', path: '^src/testing/' },
  { name: 'entry points', path: '^src/(index\\.ts$|driver/index\\.ts$|cli/)' },
]

const anyOf = (some) => some.map(({ path }) => path).join('|')

const layerRules = layers.slice(0, -1).map(({ name, path }, index) => ({
  name: `imports-of-${name.replaceAll(' ', '-')}-go-down`,
  comment: `The layer "${name}" lies below what is imported here.`,
  severity: 'error',
  from: { path },
  to: { path: anyOf(layers.slice(index + 1)) },
}))

export default {
  forbidden: [
    {
      name: 'no-cycle',
      comment: 'Files that import one another, if only for a type, can be read and moved only together.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    ...layerRules,
    {
      name: 'every-file-has-a-layer',
      comment: 'Add the new file or folder to a layer in dependency-cruiser.config.js.',
      severity: 'error',
      from: { path: '^src/', pathNot: anyOf(layers) },
      to: {},
    },
    {
      name: 'drivers-are-apart',
      comment: 'What several drivers share is in src/driver/, or in a folder below it.',
      severity: 'error',
      from: { path: '^src/drivers/([^/]+)/' },
      to: { path: '^src/drivers/', pathNot: '^src/drivers/$1/' },
    },
    {
      name: 'jobs-know-no-driver',
      comment: 'A job works for any host.',
      severity: 'error',
      from: { path: '^src/job/' },
      to: { path: '^src/drivers/' },
    },
  ],
  options: {
    // Imports of types count.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
  },
}
