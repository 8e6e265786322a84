import * as v from 'valibot'
import type { QmpClient } from '../protocol/qmp-client.js'

const blocksSchema = v.array(
  v.object({
    qdev: v.optional(v.string()),
    inserted: v.optional(v.object({ 'node-name': v.optional(v.string()) })),
  }),
)

/** The devices of a QEMU that have a disk or a medium, or could have one. */
export const blockDevices = async (client: QmpClient): Promise<v.InferOutput<typeof blocksSchema>> =>
  v.parse(blocksSchema, await client.execute('query-block'))
