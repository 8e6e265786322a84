import { createJob } from 'awaitvm/testing'
import { hostTask } from '../../src/driver/host-task.js'
import type { ProgramControl, ProgramEnd } from '../../src/driver/program-io.js'
import { AgentWays } from '../../src/guest-agent/agent-ways.js'
import type { GuestProgram } from '../../src/guest/guest-way.js'
import { LocalAgent } from './local-agent.js'

/** How a program is run in a {@link LocalGuest}. */
export interface Use extends Omit<GuestProgram, 'argv'> {
  readonly input?: AsyncIterable<Uint8Array>
  readonly signal?: AbortSignal | undefined
  readonly begun?: (control: ProgramControl) => void
  /** Called with all output so far. */
  readonly output?: (text: string) => Promise<void> | void
}

/** A way by QEMU's agent into a guest that is this machine. Nothing may be left in it at the end. */
export class LocalGuest implements AsyncDisposable {
  readonly agent: LocalAgent
  readonly #ways = new AgentWays()
  readonly #way

  constructor(shell: string, client?: string) {
    this.agent = new LocalAgent(shell, client)
    this.#way = this.#ways.into(this.agent, hostTask(createJob().task))
  }

  async run(
    argv: readonly string[],
    { input, signal = new AbortController().signal, begun, output, ...program }: Use = {},
  ): Promise<ProgramEnd & { readonly stdout: string; readonly stderr: string; readonly bytes: number }> {
    const texts = { stdout: '', stderr: '' }
    let bytes = 0
    const end = await this.#way.run(
      { argv, ...program },
      {
        input,
        output: (stream, piece) => {
          bytes += piece.byteLength
          if (texts[stream].length < 100_000) texts[stream] += Buffer.from(piece).toString()
          return output?.(texts[stream])
        },
        begun: (control) => begun?.(control),
      },
      signal,
    )
    return { ...end, ...texts, bytes }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ways.stop()
    await this.#ways.close()
    await this.agent.untilQuiet()
  }
}

/** The shells that guests may have, and Debian's packages of them. */
export const shells = [
  { shell: 'dash', path: '/usr/bin/dash', debian: 'dash' },
  { shell: 'bash', path: '/usr/bin/bash', debian: 'bash' },
  { shell: 'busybox sh', path: '/usr/bin/busybox', debian: 'busybox-static' },
]
