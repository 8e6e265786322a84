import { diskNode } from './disk-devices.js'
import type { DiskDefinition } from '../definition.js'
import type { QmpClient } from '../protocol/qmp-client.js'
import { followJobs } from '../protocol/qemu-job.js'

/** The QMP name of a copy in progress; `settle` removes leftovers. */
const copyNode = (index: number): string => `copy${String(index)}`

/**
 * Copies the disks of a running VM into new files, all of them as they are at one moment, while the guest runs on. Of a disk with
 * an image or a base, only the differences are copied.
 */
export async function copyLive(
  client: QmpClient,
  disks: readonly DiskDefinition[],
  targets: readonly string[],
  options: { readonly signal: AbortSignal; readonly onProgress: (percent: number) => void },
): Promise<void> {
  if (disks.length === 0) return
  const added: string[] = []
  try {
    for (const [index, filename] of targets.entries()) {
      const node = copyNode(index)
      // A backup writes whole clusters, and never reads its target.
      await client.execute('blockdev-add', {
        driver: 'qcow2',
        'node-name': node,
        backing: null,
        file: { driver: 'file', filename },
      })
      added.push(node)
    }
    await client.execute('transaction', {
      actions: disks.map((disk, index) => ({
        type: 'blockdev-backup',
        data: {
          'job-id': copyNode(index),
          device: diskNode(disk),
          target: copyNode(index),
          sync: disk.image === undefined && disk.bases === undefined ? 'full' : 'top',
          'auto-dismiss': false,
        },
      })),
    })
    await followJobs(client, added, {
      signal: options.signal,
      onProgress: (done, total) => {
        options.onProgress((100 * done) / total)
      },
    })
  } finally {
    for (const node of added) await client.execute('blockdev-del', { 'node-name': node })
  }
}
