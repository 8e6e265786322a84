import type { Hardware } from '../definition.js'
import type { CompanionPlan } from '../process/companion.js'

/** The programs that hardware needs beside its QEMU. Throws if one is not installed. */
export const companionsOf = (_hardware: Hardware): CompanionPlan[] => []
