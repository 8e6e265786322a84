import type { Hardware } from '../definition.js'
import { virtiofsdsOf } from '../shares/virtiofsd.js'
import type { CompanionPlan } from '../process/companion.js'
import { tpmCompanion } from './tpm.js'

/** The programs that hardware needs beside its QEMU. Throws if one is not installed. */
export const companionsOf = (id: string, { tpm, shares = [] }: Hardware): CompanionPlan[] => [
  ...(tpm === undefined ? [] : [tpmCompanion()]),
  ...virtiofsdsOf(id, shares),
]
