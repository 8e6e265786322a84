import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { type Command, failing, lookUp, pause } from './command.js'
import type { Dispatcher } from './dispatcher.js'
import type { Knobs } from './knobs.js'
import { freshGuest } from './machine.js'
import { Failure, texts } from './messages.js'
import { print, terminal } from './terminal.js'

/** Beyond this many bytes of arguments, Parallels Desktop 26.4 hangs. */
const hangingLength = 3900

const whileProgramsLive = ['running', 'pausing', 'paused', 'continuing']

/** Where the bytes begin and end that an output loses: a part of its first line, or all after that. */
function lostBytes(lost: Knobs['execLoses'], stream: 'stdout' | 'stderr'): readonly [number, number] {
  if (lost === `begin of ${stream}`) return [0, 16]
  return lost === `end of ${stream}` ? [64, Infinity] : [0, 0]
}

/** Runs a program in the guest: the words are joined, and split again by the guest's shell. */
export const exec: Command = {
  takesId: 'always',
  takesRest: true,
  heedsSignals: true,
  async run({ dispatcher, id, rest, isCanceled }) {
    const { knobs } = dispatcher
    const line = rest.join(' ')
    if (knobs.flavour === 'desktop' && Buffer.byteLength(line) > hangingLength) await new Promise(() => undefined)
    const { session, boot, machineId, isEmpty, isSpurious } = failing('execute the program', () =>
      dispatcher.transact((registry) => {
        const machine = lookUp(registry, id)
        if (machine.state === 'stopped') throw new Failure(texts.notStarted())
        if (machine.state !== 'running') throw new Failure(texts.wrongState(machine.name, machine.state))
        if (machine.tools !== 'installed' || Date.now() < machine.startedAt + knobs.delays.tools) {
          throw new Failure(texts.noSession())
        }
        const isEmpty = dispatcher.shows(registry, 'emptyExec', knobs.emptyExec)
        const isSpurious = !isEmpty && dispatcher.shows(registry, 'spuriousExec', knobs.spuriousExec)
        const { boot, id: machineId } = machine
        const [memory, disk] = [dispatcher.memory(machine), dispatcher.disk(machine)]
        const session = isEmpty
          ? undefined
          : spawn('sh', ['-c', line], {
              cwd: disk,
              detached: true,
              stdio: 'pipe',
              env: {
                PATH: `${join(dispatcher.folder, 'bin')}:${process.env['PATH'] ?? ''}`,
                HOME: disk,
                XDG_RUNTIME_DIR: memory,
                PRL_DOUBLE_GUEST: machine.id,
              },
            })
        if (session?.pid !== undefined) registry.sessions.push({ owner: terminal().pid, group: session.pid })
        return { session, boot, machineId, isEmpty, isSpurious }
      }),
    )
    if (isEmpty || session === undefined) return
    const { stdin, write, isGone } = terminal()
    const pass = async (output: Readable, stream: 'stdout' | 'stderr'): Promise<void> => {
      const [from, to] = lostBytes(knobs.execLoses, stream)
      let at = 0
      for await (const data of output) {
        const piece = data as Buffer
        const kept = [piece.subarray(0, Math.max(0, from - at)), piece.subarray(Math.max(0, to - at))]
        at += piece.length
        await write(stream, Buffer.concat(kept))
      }
    }
    // A program need not read its input.
    session.stdin.on('error', () => undefined)
    if (knobs.execLoses === 'stdin') session.stdin.end()
    else stdin.pipe(session.stdin)
    const exited = once(session, 'exit').then(([code, signal]) =>
      typeof code === 'number' ? code : 128 + constants.signals[signal as NodeJS.Signals],
    )
    const passed = Promise.all([pass(session.stdout, 'stdout'), pass(session.stderr, 'stderr')])
    const allPassed = knobs.execEnds === 'with-program' ? Promise.race([passed, exited.then(() => pause(50))]) : passed
    const ended = allPassed.then(() => exited)
    const kill = async (): Promise<void> => {
      try {
        process.kill(-session.pid!, 'SIGKILL')
      } catch {
        // It has already ended.
      }
      await exited
    }
    for (;;) {
      const code = await Promise.race([ended, pause(10)])
      if (code !== undefined) {
        dispatcher.transact((registry) => {
          registry.sessions = registry.sessions.filter(({ group }) => group !== session.pid)
        })
        if (isSpurious) throw new Failure('PrlJob_GetRetCode: Invalid argument. An invalid argument was passed.')
        return code
      }
      if (isGone()) {
        await kill()
        return
      }
      if (isCanceled()) {
        await kill()
        print('\nCanceling the session...\n')
        throw new Failure(`Failed to execute the program: ${texts.canceled()}`)
      }
      const isOver = dispatcher.transact(({ machines }) => {
        const machine = machines[machineId]
        return machine?.boot !== boot || !whileProgramsLive.includes(machine.state)
      })
      if (isOver) {
        await kill()
        throw new Failure(`Failed to execute the program: ${texts.notStarted()}`)
      }
    }
  },
}

/** `guestctl`, a program in each guest of the double that powers the guest off, crashes it, and so on. */
export function guestctl(dispatcher: Dispatcher, [verb = '']: readonly string[]): number {
  return dispatcher.transact((registry) => {
    const machine = lookUp(registry, terminal().machine)
    const { guest } = machine
    switch (verb) {
      case 'poweroff':
        dispatcher.powerOff(machine, true)
        return 0
      case 'crash':
        dispatcher.powerOff(machine, false)
        return 0
      case 'reboot':
        dispatcher.freshBoot(machine)
        return 0
      case 'ignore-shutdown':
        machine.guest = { ...freshGuest(guest.hasShutDown), keys: guest.keys, ignoresShutdown: true }
        return 0
      case 'refuse-shutdown':
        machine.guest = { ...freshGuest(guest.hasShutDown), keys: guest.keys, refusesShutdown: true }
        return 0
      case 'was-asked':
        return guest.wasAsked ? 0 : 1
      case 'has-shut-down':
        return guest.hasShutDown ? 0 : 1
      case 'keys':
        print(`${guest.keys.join('\n')}\n`)
        return 0
      default:
        return 2
    }
  })
}
