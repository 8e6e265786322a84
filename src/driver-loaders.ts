import type { OpenDriver } from './interceptions.js'

/** The drivers, by the scheme of the URI; each is loaded when it is used first. */
export const driverLoaders: Readonly<Record<string, () => Promise<OpenDriver>>> = {
  embedded: async () => (await import('./drivers/embedded/open.js')).openEmbedded,
  qmp: async () => (await import('./drivers/qmp/open.js')).openQmp,
  parallels: async () => (await import('./drivers/parallels/open.js')).openParallels,
  'parallels+ssh': async () => (await import('./drivers/parallels/open.js')).openParallels,
}
