import type { VmFormat } from '../../registry/vm-format.js'
import { definitionSchema, filesOf, type Definition } from './definition.js'
import { runFiles } from './run-files.js'
import { isOfSwtpm, isTpmState } from './hardware/tpm-state.js'
import { parseKeptName } from './logs/kept-part.js'
import { isCompanionFile } from './process/companion-files.js'
import { isSign } from './process/qemu-process.js'
import { recordFile } from './process/run-record.js'

const others: ReadonlySet<string> = new Set([...Object.values(runFiles), recordFile])

/** How QEMU's VMs are kept in a directory. */
export const definitionFormat: VmFormat<Definition> = {
  driver: 'qmp',
  schema: definitionSchema,
  filesOf,
  dataNameOf: (file) => (/^(?:disk|memory|base|seed)-/.test(file) || isTpmState(file) ? file : undefined),
  isOther: (file) =>
    others.has(file) || isSign(file) || isOfSwtpm(file) || isCompanionFile(file) || parseKeptName(file) !== undefined,
}
