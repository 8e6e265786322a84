import { isDeepStrictEqual } from 'node:util'
import { InvalidStateError } from '../../errors.js'
import type { VmState } from '../../model/vm-state.js'
import type { Hardware } from './definition.js'
import { firstLayout } from './layout.js'
import { ideDisks } from './plugged-disks.js'
import type { RunRecord } from './run-record.js'

/** Refuses what QEMU can't change of a VM that it runs. */
export function requireLive(
  before: Hardware,
  wanted: Hardware,
  { layout = firstLayout(before) }: RunRecord,
  state: VmState,
): void {
  const refuse = (what: string, hint = 'Stop it first, with vm.stop().'): never => {
    const reason = `it is ${state}, and ${what}`
    throw new InvalidStateError({ state, expected: ['stopped', 'crashed'], reason, hint })
  }
  if (wanted.cpus !== before.cpus) refuse('the number of its processors only changes while it is stopped')
  if (!isDeepStrictEqual(wanted.boot, before.boot)) refuse('what it boots only changes while it is stopped')
  if (!isDeepStrictEqual(wanted.networkAdapters, before.networkAdapters)) {
    refuse('its network adapters only change while it is stopped')
  }
  for (const kind of ['cdroms', 'floppies'] as const) {
    if (wanted[kind].length === before[kind].length) continue
    refuse(`the number of its drives (${kind}) only changes while it is stopped; what is in them may change`)
  }
  if (wanted.memoryMiB !== before.memoryMiB) {
    if (!layout.hasBalloon) refuse('it was started without the device that changes its memory')
    if (wanted.memoryMiB > layout.memoryMiB) {
      const most = `${String(layout.memoryMiB)} MiB`
      refuse(
        `it was started with ${most} of memory, which it can't exceed`,
        `Give it at most ${most}, or stop it first.`,
      )
    }
  }
  const fixed = ideDisks(before).map(({ file }) => file)
  const keptInOrder = wanted.disks.map(({ file }) => file).filter((file) => fixed.includes(file))
  if (!isDeepStrictEqual(fixed, keptInOrder))
    refuse('its IDE disks, which are the first ones, only change while it is stopped')
  const isLessened = before.disks.some(({ file }) => !wanted.disks.some((disk) => disk.file === file))
  if (isLessened && state !== 'running')
    refuse('a disk is only taken away once its guest lets go of it', 'Resume it first.')
}
