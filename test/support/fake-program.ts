import type { ExecJob, ExecOptions, JobOptions, SignalName, Server, Vm } from 'awaitvm'
import type { ProgramControl, ProgramEnd, ProgramIo } from 'awaitvm/driver'
import type { FakeCall, FakeDriver } from './fake-driver.js'
import { fakeServer } from './fake-server.js'

/** A program of a fake driver, which the test moves by hand. */
export interface FakeProgram {
  readonly server: Server
  readonly vm: Vm
  readonly driver: FakeDriver
  readonly call: FakeCall
  readonly io: ProgramIo
  /** The signals that were sent to it. */
  readonly signals: SignalName[]
  /** Tells that it runs. */
  begin(control?: Partial<ProgramControl>): void
  print(text: string | Uint8Array, stream?: 'stdout' | 'stderr'): Promise<void> | void
  end(end?: ProgramEnd): void
}

/** What passes between the program of a driver's call and its user. */
export const programOf = (driver: FakeDriver): FakeProgram['io'] => (driver.last.input as { readonly io: ProgramIo }).io

/** Runs a program on a fake driver. It has begun, unless the test wants to begin it. */
export async function fakeProgram<J = ExecJob>(
  run: ((vm: Vm) => J) | (ExecOptions<string> & JobOptions & { check?: false; encoding?: 'utf8' }) = {},
  { hasBegun = true } = {},
): Promise<FakeProgram & { readonly job: J }> {
  const { driver, server, vm } = await fakeServer()
  const job = typeof run === 'function' ? run(vm) : (vm.guest.exec(['program'], run) as J)
  const io = programOf(driver)
  const call = driver.last
  const signals: SignalName[] = []
  const begin = (control: Partial<ProgramControl> = {}): void => {
    const kill = (signal: SignalName): Promise<boolean> => {
      signals.push(signal)
      return Promise.resolve(true)
    }
    io.begun({ kill, ...control })
  }
  if (hasBegun) begin()
  return {
    server,
    vm,
    driver,
    call,
    io,
    signals,
    begin,
    print: (text, stream = 'stdout') => io.output(stream, typeof text === 'string' ? Buffer.from(text) : text),
    end: (end = { exitCode: 0 }) => {
      call.succeed(end)
    },
    // A job is a thenable: a promise would wait for it.
    get job() {
      return job
    },
  }
}
