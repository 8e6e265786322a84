import type { Worker } from 'node:worker_threads'

const workers = new Set<Worker>()

process.on('worker', (worker) => {
  workers.add(worker)
  worker.once('exit', () => workers.delete(worker))
})

/** Resources that stay until they are closed. Timers and requests come and go with the test runner. */
const lasting = new Set(['MessagePort', 'FSEventWrap', 'ProcessWrap', 'TCPSocketWrap', 'TCPServerWrap', 'PipeWrap'])

/** The resources that this process has open: threads, child processes, sockets, watchers. */
export const openResources = (): readonly string[] => [
  ...[...workers].map(() => 'Worker'),
  ...process
    .getActiveResourcesInfo()
    .filter((type) => lasting.has(type))
    .sort(),
]
