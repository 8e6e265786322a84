/** The signals of Linux, by signal(7) for x86 and ARM; guests number theirs so, whatever system this process runs on. */
const numbers = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPWR: 30,
  SIGSYS: 31,
} as const

/** A signal of a guest: `'SIGTERM'`, `'SIGKILL'`, `'SIGINT'`, ... */
export type SignalName = keyof typeof numbers

/** All signals, by number. */
export const signalNames = Object.keys(numbers) as readonly SignalName[]

/** The number of a signal in a guest. */
export const signalNumber = (name: SignalName): number => numbers[name]

/** The signal of the number; `undefined` for one without a name, such as a real-time signal. */
export const signalOf = (number: number): SignalName | undefined => signalNames[number - 1]
