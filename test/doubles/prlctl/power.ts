import { renameSync, rmSync } from 'node:fs'
import { type Call, type Command, failing, lookUp, requireAtRest, until } from './command.js'
import type { Dispatcher, Registry } from './dispatcher.js'
import type { Machine } from './machine.js'
import { Failure, texts } from './messages.js'
import { print } from './terminal.js'

/** A command on a VM, with its messages before and after. */
function command(
  words: { readonly doing: string; readonly what: string; readonly done: string },
  act: (machine: Machine, call: Call, registry: Registry) => (() => boolean) | undefined,
  options: Command['options'] = {},
): Command {
  return {
    takesId: 'always',
    options,
    async run(call) {
      const { dispatcher, id } = call
      dispatcher.transact((registry) => lookUp(registry, id))
      print(`${words.doing}...\n`)
      const isDone = failing(`${words.what} the VM`, () =>
        dispatcher.transact((registry) => act(lookUp(registry, id), call, registry)),
      )
      if (isDone !== undefined) await until(isDone)
      print(`The VM has been successfully ${words.done}.\n`)
    },
  }
}

/** Waits until the machine has reached its new state. */
const untilAtRest =
  ({ dispatcher, id }: Call) =>
  (): boolean =>
    dispatcher.transact((registry) => lookUp(registry, id).transition === undefined)

const wrongState = ({ name, state }: Machine): Failure => new Failure(texts.wrongState(name, state))

function restoreMemory(dispatcher: Dispatcher, machine: Machine): void {
  rmSync(dispatcher.memory(machine), { recursive: true, force: true })
  renameSync(dispatcher.savedMemory(machine), dispatcher.memory(machine))
}

export const start = command(
  { doing: 'Starting the VM', what: 'start', done: 'started' },
  (machine, call) => {
    const { dispatcher } = call
    const { delays, startReturns, startOfRunning } = dispatcher.knobs
    if (machine.state === 'running') {
      if (startOfRunning === 'success') return undefined
      throw new Failure(texts.running(machine.name))
    }
    requireAtRest(machine)
    if (machine.isTemplate) throw new Failure(texts.template())
    if (machine.state === 'invalid') throw wrongState(machine)
    if (machine.state === 'paused') {
      dispatcher.begin(machine, 'continuing', 'running', delays.pause)
    } else if (machine.state === 'suspended') {
      restoreMemory(dispatcher, machine)
      dispatcher.begin(machine, 'resuming', 'running', delays.resume)
    } else {
      dispatcher.freshBoot(machine)
      dispatcher.begin(machine, 'starting', 'running', delays.start)
    }
    return startReturns === 'starting' ? undefined : untilAtRest(call)
  },
  { '--repair': false, '--wait': false },
)

export const stop: Command = {
  takesId: 'always',
  options: { '--kill': false, '--noforce': false, '--acpi': false, '--fast': false, '--drop-state': false },
  async run(call) {
    const { dispatcher, id, options } = call
    const { knobs } = dispatcher
    if (knobs.flavour === 'desktop' && options.has('--noforce'))
      throw new Failure('Unrecognized option: --noforce\n', 1)
    if (knobs.flavour === 'virtuozzo' && options.has('--drop-state')) {
      throw new Failure('Unrecognized option: --drop-state\n', 1)
    }
    const name = dispatcher.transact((registry) => lookUp(registry, id).name)
    print('Stopping the VM...\n')
    const isKill = options.has('--kill')
    const isStopped = failing('stop the VM', () =>
      dispatcher.transact((registry) => {
        const machine = lookUp(registry, id)
        if (machine.state === 'stopped') throw new Failure(texts.notStarted(), 0)
        const dropsState = options.has(knobs.flavour === 'desktop' ? '--drop-state' : '--kill')
        if (machine.state === 'suspended' && dropsState) {
          rmSync(dispatcher.savedMemory(machine), { recursive: true, force: true })
          dispatcher.setState(machine, 'stopped')
          return true
        }
        if (machine.state === 'suspended') throw wrongState(machine)
        if (isKill) {
          if (machine.state !== 'stopping') dispatcher.powerOff(machine, false)
          return false
        }
        if (machine.state !== 'running') throw wrongState(machine)
        dispatcher.pressPowerButton(machine, () => dispatcher.powerOff(machine, true))
        return false
      }),
    )
    const returnsAt = Date.now() + knobs.shutdownMs
    // prlctl ends before the VM has stopped.
    const { stop: stopMs, teardown } = knobs.delays
    if (!isStopped) {
      await until(() =>
        dispatcher.transact((registry) => {
          const machine = lookUp(registry, id)
          if (machine.state === 'stopped') return true
          if (machine.state === 'stopping') {
            return Date.now() >= (machine.transition?.endsAt ?? 0) - (stopMs > 0 ? teardown : 0)
          }
          if (Date.now() < returnsAt) return false
          if (options.has('--noforce')) throw new Failure(`Failed to stop the VM: Operation timeout. ${name}`)
          dispatcher.powerOff(machine, false)
          return false
        }),
      )
    }
    print(`The VM has been ${isKill ? 'forcibly' : 'successfully'} stopped.\n`)
  },
}

export const suspend = command({ doing: 'Suspending the VM', what: 'suspend', done: 'suspended' }, (machine, call) => {
  const { dispatcher } = call
  requireAtRest(machine)
  if (machine.state === 'stopped') throw new Failure(texts.notStarted())
  if (machine.state !== 'running') throw wrongState(machine)
  renameSync(dispatcher.memory(machine), dispatcher.savedMemory(machine))
  dispatcher.begin(machine, 'suspending', 'suspended', dispatcher.knobs.delays.suspend)
  return untilAtRest(call)
})

export const resume = command({ doing: 'Resuming the VM', what: 'resume', done: 'resumed' }, (machine, call) => {
  const { dispatcher } = call
  const { delays } = dispatcher.knobs
  requireAtRest(machine)
  if (machine.state === 'paused') dispatcher.begin(machine, 'continuing', 'running', delays.pause)
  else if (machine.state === 'suspended') {
    restoreMemory(dispatcher, machine)
    dispatcher.begin(machine, 'resuming', 'running', delays.resume)
  } else throw new Failure(texts.notSuspended())
  return untilAtRest(call)
})

export const pauseVm = command({ doing: 'Pause the VM', what: 'pause', done: 'paused' }, (machine, call) => {
  const { dispatcher } = call
  requireAtRest(machine)
  if (machine.state !== 'running') throw new Failure(texts.pauseFailed())
  dispatcher.begin(machine, 'pausing', 'paused', dispatcher.knobs.delays.pause)
  return untilAtRest(call)
})

export const reset = command({ doing: 'Resetting the VM', what: 'reset', done: 'reset' }, (machine, call) => {
  const { dispatcher } = call
  requireAtRest(machine)
  if (machine.state !== 'running' && machine.state !== 'paused') throw new Failure(texts.notStarted())
  machine.guest.hasShutDown = false
  dispatcher.freshBoot(machine)
  dispatcher.begin(machine, 'resetting', 'running', dispatcher.knobs.delays.reset)
  return untilAtRest(call)
})

export const restart = command({ doing: 'Restarting the VM', what: 'restart', done: 'restarted' }, (machine, call) => {
  const { dispatcher, id } = call
  requireAtRest(machine)
  if (machine.state !== 'running') throw new Failure(texts.notStarted())
  const { boot } = machine
  dispatcher.pressPowerButton(machine, () => {
    machine.guest.hasShutDown = true
    dispatcher.freshBoot(machine)
    dispatcher.begin(machine, 'resetting', 'running', dispatcher.knobs.delays.reset)
  })
  return () =>
    dispatcher.transact((registry) => {
      const now = lookUp(registry, id)
      return now.boot !== boot && now.transition === undefined
    })
})
