import * as v from 'valibot'
import type { VmFormat, WrittenVm } from '../../src/registry/vm-format.js'

/** VMs in a directory that have no files and no settings. */
export const plainFormat: VmFormat<WrittenVm> = {
  driver: 'plain',
  schema: v.strictObject({ id: v.string(), name: v.string(), createdAt: v.string(), owner: v.optional(v.string()) }),
  filesOf: () => new Set(),
  dataNameOf: () => undefined,
  isOther: () => false,
}
