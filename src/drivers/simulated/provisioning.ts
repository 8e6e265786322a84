import { InvalidArgumentError } from '../../errors.js'
import type { VmState } from '../../model/vm-state.js'
import { invalidState } from '../../errors/state.js'
import type { DiskConfig, VmConfig } from '../../model/vm-config.js'
import type { VmChanges, VmSpec } from '../../model/vm-spec.js'
import { keepAdapters, shownAdapters, type KeptAdapter } from '../../network/kept-adapter.js'
import { checkFiles, namesFiles } from './boot-files.js'
import { disksOf, type SimulatedDisk, type VmContent } from './simulated-vm.js'

/** What is not asked for; nobody changes it, so that all VMs share it. */
const none: readonly never[] = Object.freeze([])
const noBoot: VmConfig['boot'] = Object.freeze({})
const usualMemoryMiB = 512

/** The most that a VM may have. */
const limits = { cpus: 256, memoryMiB: 2 ** 24, floppies: 2 } as const

/** The settings without those that are absent or `undefined`. */
const given = <T extends object>(settings: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as never

export function configOf(spec: VmSpec, nowMs: number): VmConfig {
  const { name, description = '', cpus = 1, memoryMiB = usualMemoryMiB } = spec
  const { disks = none, cdroms = none, floppies = none, boot = noBoot, networkAdapters = none } = spec
  const createdAt = new Date(nowMs)
  return { name, description, cpus, memoryMiB, disks, cdroms, floppies, boot, networkAdapters, createdAt }
}

/** Throws where the VM is too large for the host, or a file of it is missing; synchronous where there is none. */
export function checkConfig(config: VmConfig, root: string, files: 'local' | 'assumed'): Promise<void> | undefined {
  for (const key of ['cpus', 'memoryMiB'] as const) {
    if (config[key] > limits[key]) throw tooMuch(`${root}.${key}`, limits[key], config[key])
  }
  if (config.floppies.length > limits.floppies) {
    throw tooMuch(`${root}.floppies`, limits.floppies, config.floppies.length)
  }
  return files === 'local' && namesFiles(config) ? checkFiles(config, root) : undefined
}

const tooMuch = (path: string, most: number, found: number): InvalidArgumentError =>
  new InvalidArgumentError({
    path,
    reason: `${path} must be at most ${String(most)} on this host, and there are ${String(found)}`,
  })

/** What an edit leads to; disks that stay keep what is on them. */
export function edited(content: VmContent, changes: VmChanges, newMacAddress: () => string): VmContent {
  const { config, disks, adapters, files } = content
  const wanted = changes.networkAdapters
  return withAdapters(
    {
      config: { ...config, ...given(changes) },
      disks: changes.disks === undefined ? disks : keepDisks(changes.disks, disks),
      files,
    },
    wanted === undefined ? adapters : keepAdapters(wanted, adapters, newMacAddress),
  )
}

/** The content with these adapters, which its settings tell of as of a VM that does not run. */
export function withAdapters<C extends Pick<VmContent, 'config'>>(
  content: C,
  adapters: readonly KeptAdapter[],
): C & Pick<VmContent, 'adapters'> {
  const networkAdapters = adapters.length === 0 ? none : shownAdapters(adapters, false)
  return { ...content, config: { ...content.config, networkAdapters }, adapters }
}

function keepDisks(wanted: readonly DiskConfig[], present: readonly SimulatedDisk[]): readonly SimulatedDisk[] {
  const left = [...present]
  return disksOf(wanted).map((disk) => {
    const { image, sizeMiB } = disk.config
    const index = left.findIndex(({ config }) => config.image === image && config.sizeMiB === sizeMiB)
    const [kept] = index < 0 ? [] : left.splice(index, 1)
    return kept ?? disk
  })
}

/** Throws where hardware can't be changed in this state. */
export function requireHardwareMayChange(
  state: VmState,
  { name: _name, description: _description, ...hardware }: VmChanges,
  isLiveEditPossible: boolean,
): void {
  if (Object.values(hardware).every((value) => value === undefined)) return
  const possible: readonly VmState[] = isLiveEditPossible
    ? ['stopped', 'running', 'paused', 'crashed']
    : ['stopped', 'crashed']
  if (!possible.includes(state)) throw invalidState(state, possible)
}
