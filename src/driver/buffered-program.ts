import { NotSupportedError } from '../errors.js'
import { signalOf } from '../model/signal.js'
import type { ProgramEnd, ProgramIo } from './program-io.js'

/** A program that has ended, with all of its output. */
export interface BufferedEnd {
  readonly exitCode?: number | undefined
  /** The number of the signal that ended it. */
  readonly signal?: number | undefined
  readonly stdout: Uint8Array
  readonly stderr: Uint8Array
  readonly isTruncated?: boolean | undefined
}

/** A program as an argument list: a line is for the guest's shell. */
export const argvOf = (command: string | readonly string[]): readonly string[] =>
  typeof command === 'string' ? ['/bin/sh', '-c', command] : command

/** Runs a program for a host that takes all of its input before it runs, and tells all of its output after its end. */
export async function bufferedProgram(
  io: ProgramIo,
  run: (input: Uint8Array | undefined) => Promise<BufferedEnd>,
): Promise<ProgramEnd> {
  const pieces: Uint8Array[] = []
  for await (const bytes of io.input ?? []) pieces.push(bytes)
  const running = run(io.input === undefined ? undefined : Buffer.concat(pieces))
  io.begun({
    kill: () => {
      const reason = 'the host can not send signals to programs'
      return Promise.reject(new NotSupportedError({ capability: 'job.kill', reason }))
    },
  })
  const { stdout, stderr, exitCode, signal, isTruncated } = await running
  await io.output('stdout', stdout)
  await io.output('stderr', stderr)
  const name = signal === undefined ? undefined : signalOf(signal)
  if (name !== undefined) return { signal: name, isTruncated }
  return { exitCode: signal === undefined ? exitCode : 128 + signal, isTruncated }
}
