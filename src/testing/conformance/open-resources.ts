import type { Worker } from 'node:worker_threads'

const workers = new Set<Worker>()

process.on('worker', (worker) => {
  workers.add(worker)
  worker.once('exit', () => workers.delete(worker))
})

/** Timers and requests come and go with the test runner; these stay until somebody lets go of them. */
const lasting = new Set(['MessagePort', 'FSEventWrap', 'ProcessWrap', 'TCPSocketWrap', 'TCPServerWrap', 'PipeWrap'])

/** What this process holds that would keep it alive or cost it memory: threads, child processes, sockets, watchers. */
export const openResources = (): readonly string[] => [
  ...[...workers].map(() => 'Worker'),
  ...process
    .getActiveResourcesInfo()
    .filter((type) => lasting.has(type))
    .sort(),
]
