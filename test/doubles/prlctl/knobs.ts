import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Settings and faults of the double; a test writes those that differ from the defaults into `knobs.json`. */
const defaultKnobs = {
  flavour: 'desktop' as 'desktop' | 'virtuozzo',
  version: '26.3.0 (57392)',
  edition: 'pro',
  /** Durations in milliseconds. */
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
  /** Longest wait for a guest that ignores a shutdown. */
  shutdownMs: 600_000,
  /** The state of the VM when `prlctl start` returns. */
  startReturns: 'starting' as 'starting' | 'running',
  startOfRunning: 'error' as 'error' | 'success',
  /** There is no dispatcher: exit code 253. */
  isServiceDown: false,
  /** Commands that hang. */
  hangs: [] as string[],
  /** Commands that hang also ignore SIGINT and SIGTERM. */
  hangsHard: false,
  /** The failure of a command: how often it occurs, after how many successes. */
  failures: {} as Record<string, { text: string; times: number; after?: number }>,
  /** How commands end that succeeded: with a hang, without output, or with a lost connection to the dispatcher. */
  endings: {} as Record<string, 'hang' | 'silence' | 'lost'>,
  /** How often `exec` fails after the program has run, and how often it runs and prints nothing. */
  spuriousExec: 0,
  emptyExec: 0,
  /** What `exec` loses: the input, or a part of an output. */
  execLoses: '' as '' | 'stdin' | `${'begin' | 'end'} of ${'stdout' | 'stderr'}`,
  /** Whether a child in the background that holds the outputs of its program holds `exec`, too. */
  execEnds: 'with-outputs' as 'with-outputs' | 'with-program',
  /** How many lists of VMs and of snapshots are truncated. */
  truncatedLists: 0,
  truncatedSnapshotLists: 0,
  /** Text before each JSON. */
  jsonPrefix: '',
  /** Bytes that each list has unescaped in a string, one for each character. */
  rawInStrings: '',
  /** VMs whose files can't be read. */
  invalid: [] as string[],
  /** The output of `prlsrvctl info --json`. */
  serviceInfo: '',
  /** Commands before which the VM vanishes. */
  vanishesOn: [] as string[],
  /** Of several linked clones of one VM at the same time, only the first succeeds. */
  failsLinkedRace: true,
  /** Progress comes in one piece, at the end. */
  buffersProgress: false,
  monitor: {
    /** Bytes that are buffered before they are printed. */
    blockBytes: 0,
    noise: '',
    /** Number of events after which it ends. */
    diesAfter: 0,
    /** Each list makes an event. */
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
