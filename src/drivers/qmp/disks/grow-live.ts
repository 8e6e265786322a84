import * as v from 'valibot'
import type { DiskDefinition } from '../definition.js'
import { diskNode } from '../hardware/command-line.js'
import type { QmpClient } from '../protocol/qmp-client.js'

const nodesSchema = v.array(
  v.object({ 'node-name': v.optional(v.string()), image: v.object({ 'virtual-size': v.number() }) }),
)

const mebibyte = 2 ** 20

/**
 * Makes a disk of a running VM as large as it is to be; the guest sees that when it looks at the disk again. One that is as large
 * already stays as it is: QEMU shrinks a disk without a question.
 */
export async function growLive(client: QmpClient, disk: DiskDefinition): Promise<void> {
  if (disk.sizeMiB === undefined) return
  const size = disk.sizeMiB * mebibyte
  const name = diskNode(disk)
  const nodes = v.parse(nodesSchema, await client.execute('query-named-block-nodes', { flat: true }))
  const present = nodes.find((node) => node['node-name'] === name)?.image['virtual-size'] ?? 0
  if (present < size) await client.execute('block_resize', { 'node-name': name, size })
}
