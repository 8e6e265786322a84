// Fetches an image into a cache in a process of its own, and tells how far it has come.
import { ImageCache } from '../../src/images/cache/image-cache.js'

const [folder = '', url = '', sha256 = ''] = process.argv.slice(2)
const { path } = await new ImageCache(folder).fetch(
  { url, sha256 },
  {
    path: 'image',
    signal: new AbortController().signal,
    onProgress: ({ phase = '', done = 0 }) => {
      console.log(phase.startsWith('waiting') ? 'waiting' : `has ${String(Math.floor(done / 2 ** 20))} MiB`)
    },
  },
)
console.log(`done ${path}`)
