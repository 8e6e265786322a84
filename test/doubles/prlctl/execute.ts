import { mkdirSync } from 'node:fs'
import { find, parse, pause, type Command } from './command.js'
import { set } from './configure.js'
import { Dispatcher } from './dispatcher.js'
import { exec, guestctl } from './guest.js'
import { readKnobs, type Knobs } from './knobs.js'
import { list, status } from './list.js'
import { Failure, texts } from './messages.js'
import { monitorEvents } from './monitor.js'
import { pauseVm, reset, restart, resume, start, stop, suspend } from './power.js'
import { clone, create, deleteVm, register, unregister } from './provision.js'
import { capture, sendKeyEvent } from './screen.js'
import { service } from './service.js'
import { snapshot, snapshotDelete, snapshotList, snapshotSwitch } from './snapshots.js'
import { print, terminal } from './terminal.js'

const commands: Readonly<Record<string, Command>> = {
  list,
  status,
  start,
  stop,
  suspend,
  resume,
  pause: pauseVm,
  reset,
  restart,
  create,
  clone,
  delete: deleteVm,
  register,
  unregister,
  set,
  snapshot,
  'snapshot-list': snapshotList,
  'snapshot-switch': snapshotSwitch,
  'snapshot-delete': snapshotDelete,
  exec,
  capture,
  'send-key-event': sendKeyEvent,
  'monitor-events': monitorEvents,
}

/** Hangs until a signal, or in spite of it. */
async function hang({ hangsHard }: Knobs): Promise<never> {
  return await new Promise((_resolve, reject) => {
    terminal().onSignal(() => {
      if (!hangsHard) reject(new Failure(''))
    })
  })
}

/** Faults that occur before the command is parsed. */
async function showFaults(dispatcher: Dispatcher, verb: string, words: readonly string[]): Promise<void> {
  const { knobs } = dispatcher
  if (knobs.hangs.includes(verb)) await hang(knobs)
  if (knobs.delays.firstByte > 0) await pause(knobs.delays.firstByte)
  if (knobs.isServiceDown) throw new Failure(`Login failed: ${texts.noService()}`, 253)
  if (knobs.edition === 'standard' && !['list', 'start', 'stop', 'info'].includes(verb)) {
    print(`${texts.edition()}\n`)
    throw new Failure('')
  }
  const failure = knobs.failures[verb]
  dispatcher.transact((registry) => {
    const isSpared = failure?.after !== undefined && dispatcher.shows(registry, `success of ${verb}`, failure.after)
    if (failure !== undefined && !isSpared && dispatcher.shows(registry, `failure of ${verb}`, failure.times)) {
      throw new Failure(failure.text)
    }
    const gone = knobs.vanishesOn.includes(verb) ? find(registry, words[0] ?? '') : undefined
    registry.machines = Object.fromEntries(Object.entries(registry.machines).filter(([id]) => id !== gone?.id))
  })
}

async function run(program: string, folder: string, [verb = '', ...words]: readonly string[]): Promise<number> {
  mkdirSync(folder, { recursive: true })
  const knobs = readKnobs(folder)
  const dispatcher = new Dispatcher(folder, knobs)
  // Answers tests without any fault.
  if (program === 'truthctl') {
    print(JSON.stringify(dispatcher.transact((registry) => registry)))
    return 0
  }
  if (program === 'guestctl') return guestctl(dispatcher, [verb, ...words])
  if (verb === '--version') {
    print(`${program} version ${knobs.version}\n`)
    return 0
  }
  await showFaults(dispatcher, verb, words)
  if (program === 'prlsrvctl') {
    await service(dispatcher, [verb, ...words])
    return 0
  }
  const command = Object.hasOwn(commands, verb) ? commands[verb] : undefined
  if (command === undefined || (command.onlyOn !== undefined && command.onlyOn !== knobs.flavour)) {
    throw new Failure(`Unknown action: ${verb}\n`, 1)
  }
  const call = parse(command, words)
  let isCanceled = false
  const { onSignal, write } = terminal()
  onSignal(() => {
    if (command.heedsSignals === true && !isCanceled) {
      isCanceled = true
      void write('stdout', '\nCanceling the job...\n')
    }
  })
  const code = await command.run({ dispatcher, ...call, isCanceled: () => isCanceled })
  await endOddly(knobs, verb)
  return code ?? 0
}

/** Hides the outcome of a command that succeeded. */
async function endOddly(knobs: Knobs, verb: string): Promise<void> {
  const ending = knobs.endings[verb]
  if (ending === 'hang') await hang(knobs)
  if (ending === 'silence') throw new Failure('')
  if (ending === 'lost') throw new Failure(`PrlJob_Wait: ${texts.connectionLost()}`)
}

/** Runs a program of Parallels, and answers its exit code. */
export async function execute(program: string, folder: string, args: readonly string[]): Promise<number> {
  try {
    return await run(program, folder, args)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    const { message, exitCode } = error
    if (message !== '') void terminal().write('stderr', message.endsWith('\n') ? message : `${message}\n`)
    if (exitCode === 1) print('Usage: prlctl <command> [ID|name] [options]\n')
    return exitCode
  }
}
