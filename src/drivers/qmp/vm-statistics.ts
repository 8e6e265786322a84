import { readFile } from 'node:fs/promises'
import * as v from 'valibot'
import { hostClockMs } from '../../clock.js'
import { errorCode } from '../../errors/native.js'
import type { VmStatistics } from '../../model/statistics.js'
import { isInProc, type ProcessIdentity } from '../../registry/process-identity.js'
import type { QmpClient } from './protocol/qmp-client.js'
import type { RunningVm } from './vm-access.js'

const blockStatsSchema = v.array(
  v.object({
    stats: v.object({ rd_bytes: v.number(), wr_bytes: v.number() }),
  }),
)

const balloonSchema = v.object({ actual: v.number() })
const mebibyte = 2 ** 20

/** `sysconf(_SC_CLK_TCK)` of Linux on every architecture that Node runs on. */
const ticksPerSecond = 100

export const readStatistics = ({ run, monitor }: RunningVm): Promise<VmStatistics> =>
  monitor(async (client) => {
    const disks = v.parse(blockStatsSchema, await client.execute('query-blockstats'))
    const sum = (key: 'rd_bytes' | 'wr_bytes'): number => disks.reduce((total, { stats }) => total + stats[key], 0)
    const cpuTimeMs = await processorTime(run.process)
    return {
      takenAt: new Date(),
      uptimeMs: hostClockMs() - run.startedAt,
      ...(cpuTimeMs !== undefined && { cpuTimeMs }),
      memoryMiB: await memoryOutsideBalloon(client),
      diskReadBytes: sum('rd_bytes'),
      diskWrittenBytes: sum('wr_bytes'),
    }
  })

/** The guest's present memory, which may be less than it is to have. */
async function memoryOutsideBalloon(client: QmpClient): Promise<number> {
  const { actual } = v.parse(balloonSchema, await client.execute('query-balloon'))
  return Math.round(actual / mebibyte)
}

/** Fields 14 and 15 of /proc/PID/stat (proc(5)), user and system; `undefined` unless /proc is proven to show this process. */
async function processorTime(identity: ProcessIdentity): Promise<number | undefined> {
  if (!isInProc(identity)) return undefined
  try {
    const stat = await readFile(`/proc/${String(identity.pid)}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return undefined
    throw error
  }
}
