import { InvalidStateError } from '../../../errors.js'
import { requireSameDrives } from '../../../errors/state.js'
import type { VmState } from '../../../model/vm-state.js'
import { shownAdapters } from '../../../network/kept-adapter.js'
import type { Hardware } from '../definition.js'
import { cdromsWithBus, disksWithBus } from '../disks/drive-places.js'
import { fixedDisks } from '../disks/plugged-disks.js'
import { architectureOf } from '../hardware/machine.js'
import { isSame } from '../../../model/is-same.js'
import type { RunRecord } from '../process/run-record.js'

interface WayOut {
  readonly hint?: string
  readonly expected?: readonly VmState[]
}

const refusal =
  (state: VmState) =>
  (what: string, { hint = 'Stop it first, with vm.stop().', expected = atRest }: WayOut = {}): never => {
    throw new InvalidStateError({ state, expected, reason: `it is ${state}, and ${what}`, hint })
  }

/** Refuses other drives for media than those that a VM has which runs or has saved memory. */
export function requireDrives(before: Hardware, wanted: Hardware, state: VmState): void {
  requireSameDrives(before, wanted, state)
  const busesIn = (hardware: Hardware): unknown[] => cdromsWithBus(hardware).map(({ bus }) => bus)
  if (!isSame(busesIn(before), busesIn(wanted))) {
    refusal(state)('the buses of its CD-ROM drives only change while it is stopped')
  }
}

/** Settings that can change while the VM runs, that are not part of an edit, or that follow from others. */
type Changeable = 'memoryMiB' | 'disks' | 'cdroms' | 'floppies' | 'images' | 'flash'

/** All others. */
const atRestOnly: Readonly<Record<Exclude<keyof Hardware, Changeable>, string>> = {
  machine: 'its machine only changes',
  cpus: 'the number of its processors only changes',
  boot: 'what it boots only changes',
  networkAdapters: 'its network adapters only change',
  extraArguments: 'its native arguments only change',
  shares: 'what it shares with the host only changes',
  tpm: 'its TPM is only added or removed',
  seed: 'its seed for cloud-init only changes',
  ownKey: 'its key only changes',
}

/** The settings without the host ports that were found. */
const asGiven = (hardware: Hardware): ReadonlyMap<string, unknown> =>
  new Map(Object.entries({ ...hardware, networkAdapters: shownAdapters(hardware.networkAdapters, true) }))

/** Refuses changes that QEMU can't make while the VM runs. */
export function requireLive(before: Hardware, wanted: Hardware, { startedMiB }: RunRecord, state: VmState): void {
  const refuse = refusal(state)
  const present = asGiven(before)
  const asked = asGiven(wanted)
  for (const [setting, what] of Object.entries(atRestOnly)) {
    if (!isSame([present.get(setting)], [asked.get(setting)])) refuse(`${what} while it is stopped`)
  }
  requireDrives(before, wanted, state)
  if (wanted.memoryMiB !== before.memoryMiB && wanted.memoryMiB > startedMiB) {
    const most = `${String(startedMiB)} MiB`
    const hint = `Give it at most ${most}, or stop it first.`
    refuse(`it was started with ${most} of memory, which it can't exceed`, { hint })
  }
  const fixedIn = (hardware: Hardware): unknown[] => fixedDisks(hardware).map(({ file }) => file)
  const isMoved = disksWithBus(before).some(({ file, bus }) =>
    wanted.disks.some((disk) => disk.file === file && disk.bus !== bus),
  )
  if (isMoved || !isSame(fixedIn(before), fixedIn(wanted))) {
    refuse("its disks with another bus than 'virtio' only change while it is stopped")
  }
  const filesOf = ({ disks }: Hardware): unknown[] => disks.map(({ file }) => file)
  if (architectureOf(before.machine) === 'aarch64' && !isSame(filesOf(before), filesOf(wanted))) {
    refuse('the disks of an aarch64 VM are only added and removed while it is stopped')
  }
  const isLessened = before.disks.some(({ file }) => !wanted.disks.some((disk) => disk.file === file))
  if (isLessened && state !== 'running') {
    const wayOut: WayOut = { hint: 'Resume it first.', expected: ['running', ...atRest] }
    refuse('a disk is only removed when its guest releases it', wayOut)
  }
}

const atRest: readonly VmState[] = ['stopped', 'crashed']
