/** A worker thread of `boot.ts`: boots a v86, and reports its first line. */
import { parentPort } from 'node:worker_threads'
import { bootV86 } from './support/v86.js'

await bootV86()
parentPort?.postMessage('first line')
