import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** What the double does, and which faults it has; a test writes those that differ into `knobs.json`. */
const defaultKnobs = {
  flavour: 'desktop' as 'desktop' | 'virtuozzo',
  version: '26.3.0 (57392)',
  edition: 'pro',
  /** Milliseconds that things take. */
  delays: {
    start: 25,
    /** From the end of `prlctl stop` until the VM is stopped. */
    teardown: 20,
    stop: 15,
    suspend: 20,
    resume: 20,
    pause: 5,
    reset: 15,
    clone: 25,
    create: 5,
    snapshot: 10,
    /** From the start of the VM until its tools answer, and until its address is known. */
    tools: 0,
    address: 0,
    /** Before the first byte of any output. */
    firstByte: 0,
  },
  /** How long a guest that ignores a shutdown is waited for. */
  shutdownMs: 600_000,
  /** The state that the VM is in when `prlctl start` returns. */
  startReturns: 'starting' as 'starting' | 'running',
  startOfRunning: 'error' as 'error' | 'success',
  /** The dispatcher is not there: exit code 253. */
  isServiceDown: false,
  /** Commands that never return. */
  hangs: [] as string[],
  /** What hangs ignores SIGINT and SIGTERM, too. */
  hangsHard: false,
  /** How many times in all a command is answered with this, once it has been carried out so many times. */
  failures: {} as Record<string, { text: string; times: number; after?: number }>,
  /** How commands end that were carried out: by a hang, without a word, or with the connection to the dispatcher lost. */
  endings: {} as Record<string, 'hang' | 'silence' | 'lost'>,
  /** How many times `exec` fails after the program has run, and how many times it runs nothing and says nothing. */
  spuriousExec: 0,
  emptyExec: 0,
  /** How many lists are cut off, as by a signal: of VMs and of snapshots. */
  truncatedLists: 0,
  truncatedSnapshotLists: 0,
  /** What stands before each JSON. */
  jsonPrefix: '',
  /** What stands raw in a string of each list: a byte for each character. */
  rawInStrings: '',
  /** VMs whose files can't be read. */
  invalid: [] as string[],
  /** What `prlsrvctl info --json` prints instead. */
  serviceInfo: '',
  /** A VM is gone before these commands reach it. */
  vanishesOn: [] as string[],
  /** Linked clones of one parent at once: the later ones fail. */
  failsLinkedRace: true,
  /** Progress comes in one piece, at the end. */
  buffersProgress: false,
  monitor: {
    /** Lines are kept back until there are so many bytes. */
    blockBytes: 0,
    noise: '',
    /** It ends by itself after so many events. */
    diesAfter: 0,
    /** A list makes an event of its own. */
    echoesLists: false,
  },
}

export type Knobs = typeof defaultKnobs

export function readKnobs(folder: string): Knobs {
  const file = join(folder, 'knobs.json')
  const set: Partial<Knobs> = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Partial<Knobs>) : {}
  return {
    ...defaultKnobs,
    ...set,
    delays: { ...defaultKnobs.delays, ...set.delays },
    monitor: { ...defaultKnobs.monitor, ...set.monitor },
  }
}
