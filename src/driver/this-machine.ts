import { availableParallelism, freemem, hostname, totalmem } from 'node:os'
import type { HostInfo } from '../model/host-info.js'

const mebibyte = 2 ** 20

/** What a host that runs on the machine of this process tells of the machine. */
export const thisMachine = (): Pick<HostInfo, 'hostName' | 'cpus' | 'memoryMiB' | 'freeMemoryMiB'> => ({
  hostName: hostname(),
  cpus: availableParallelism(),
  memoryMiB: Math.floor(totalmem() / mebibyte),
  freeMemoryMiB: Math.floor(freemem() / mebibyte),
})
