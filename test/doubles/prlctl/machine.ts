/** What the dispatcher knows of one VM. */
export interface Machine {
  readonly id: string
  name: string
  description: string
  readonly home: string
  /** As prlctl prints it. */
  state: string
  /** Where it is on its way to, and when it gets there. */
  transition?: { to: string; endsAt: number } | undefined
  /** It is being cloned, and takes no other operation, until then. */
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

/** What a snapshot keeps of the configuration. */
export interface Settings {
  cpus: number
  memory: number
  /** By position, which is the number of the device; the image keeps its name when others go. */
  disks: { size: number; image: string }[]
  cdroms: { image: string }[]
  bootOrder: string
}

export interface GuestState {
  ignoresShutdown: boolean
  refusesShutdown: boolean
  wasAsked: boolean
  /** Whether its last life ended in good order. */
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
