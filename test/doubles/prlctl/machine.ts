/** A VM of the dispatcher. */
export interface Machine {
  readonly id: string
  name: string
  description: string
  readonly home: string
  /** In prlctl's words. */
  state: string
  /** The change of state in progress, and the time of its end. */
  transition?: { to: string; endsAt: number } | undefined
  /** The end of a clone in progress; until then, no other operation is accepted. */
  lockedUntil: number
  /** Changes with each boot of the guest. */
  boot: number
  startedAt: number
  settings: Settings
  readonly os: string
  isTemplate: boolean
  tools: 'installed' | 'not_installed'
  guest: GuestState
  snapshots: Record<string, SnapshotRecord>
  currentSnapshot: string
}

/** The configuration in a snapshot. */
export interface Settings {
  cpus: number
  memory: number
  /** Indexed by the number of the device; an image keeps its name when others are removed. */
  disks: { size: number; image: string }[]
  cdroms: { image: string }[]
  bootOrder: string
}

export interface GuestState {
  ignoresShutdown: boolean
  refusesShutdown: boolean
  wasAsked: boolean
  /** True if its last run ended with a shutdown. */
  hasShutDown: boolean
  keys: string[]
}

export interface SnapshotRecord {
  name: string
  description: string
  date: string
  state: 'poweroff' | 'poweron' | 'pause' | 'suspend'
  parent: string
  settings: Settings
  boot: number
}

export const freshGuest = (hasShutDown: boolean): GuestState => ({
  ignoresShutdown: false,
  refusesShutdown: false,
  wasAsked: false,
  hasShutDown,
  keys: [],
})
