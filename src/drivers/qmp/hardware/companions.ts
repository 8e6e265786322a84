import type { Hardware } from '../definition.js'
import type { CompanionPlan } from '../process/companion.js'
import { tpmCompanion } from './tpm.js'

/** The programs that hardware needs beside its QEMU. Throws if one is not installed. */
export const companionsOf = ({ tpm }: Hardware): CompanionPlan[] => (tpm === undefined ? [] : [tpmCompanion()])
