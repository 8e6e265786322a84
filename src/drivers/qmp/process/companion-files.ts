/** The begin of the names of all files of companions. */
export const companionPrefix = 'beside-'

/** The files of a companion in the folder of its VM, by its name: `tpm`. */
export const companionFiles = (name: string): Readonly<Record<'socket' | 'pid' | 'log', string>> => ({
  socket: `${companionPrefix}${name}.sock`,
  pid: `${companionPrefix}${name}.pid`,
  log: `${companionPrefix}${name}.log`,
})

/** True if a file of a VM's folder is of a companion: it means nothing once that has ended. */
export const isCompanionFile = (file: string): boolean => file.startsWith(companionPrefix)
