import { rm, writeFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import * as v from 'valibot'
import { inBackground } from '../../../background.js'
import { invalidState } from '../../../errors/state.js'
import { FolderWatcher } from '../../../files/folder-watcher.js'
import { AgentConnection } from '../../../guest-agent/agent-connection.js'
import { AgentAbsentError, AgentConnectionError, AgentSilentError } from '../../../guest-agent/agent-errors.js'
import type { Agent } from '../../../guest-agent/agent.js'
import type { VmState } from '../../../model/vm-state.js'
import { connectSocket } from '../process/socket.js'
import { GuestLife } from '../process/guest-life.js'
import { QmpConnectionError, QmpTimeoutError } from '../protocol/qmp-errors.js'
import { runFiles } from '../run-files.js'
import type { RunningVm } from '../vm-access.js'

const chardevsSchema = v.array(v.object({ label: v.string(), 'frontend-open': v.boolean() }))

/** Longest wait for one's turn among all processes, and for the agent's answer. */
const turnTimeoutMs = 10_000
/** How often to check that an agent that is asked something is still there, and the guest the same. */
const watchMs = 1000
/**
 * How long the connection is kept after the last turn. Without a client, the agent sleeps 100 ms in each round of its loop: the first
 * answer takes up to that, and the start of a shell as long again in an emulated guest.
 */
const keptMs = 10_000
/** How long the connection is kept at least while another process waits for it: handing it over takes up to 100 ms. */
const minHeldMs = 250
/** How long an agent without another client takes to answer at most, usually, and how often others are asked for it. */
const firstRequestMs = 100
const requestMs = 500
/** An agent that was not asked for so long is asked first whether it answers, so that nothing is sent to one that hangs. */
const restMs = 100
/** How long an agent takes to answer at once. */
const promptMs = 50
/** How long the guest counts as the same without looking: it needs longer than that to start its agent again. */
const sameLifeMs = 250

const atRest: readonly VmState[] = ['stopped', 'paused', 'suspended', 'crashed']

interface Connected {
  readonly agent: AgentConnection
  readonly socket: Socket
  readonly life: GuestLife
  /** Those of whom it is known that they mean the present life of the guest. */
  readonly known: WeakSet<RunningVm>
  readonly since: number
}

/**
 * The connection to the agent of one VM. QEMU gives an agent to one client at a time, of all processes, and lets the others wait in
 * line. So the connection is kept for a short time after its last use, and given up when another process asks for it by a file in the
 * VM's folder.
 */
export class HeldAgent {
  readonly #folder: string
  readonly #onIdle: () => void
  readonly #watcher: FolderWatcher
  #connected: Connected | undefined
  /** The opening or closing under way, which turns wait for. */
  #passage: Promise<void> | undefined
  /** The turns that use the connection, and those that wait for it. */
  #using = 0
  #turns = 0
  #onUnused: (() => void) | undefined
  #isClosed = false
  #usedAt = 0
  #silentAt = Number.NEGATIVE_INFINITY
  #seenAliveAt = Number.NEGATIVE_INFINITY
  #watch: NodeJS.Timeout | undefined
  #idle: NodeJS.Timeout | undefined
  #givingWay: NodeJS.Timeout | undefined

  /** @param onIdle called when the connection was closed since nothing has used it for some time */
  constructor(folder: string, onIdle: () => void) {
    this.#folder = folder
    this.#onIdle = onIdle
    this.#watcher = new FolderWatcher(folder, (file) => {
      if (file === runFiles.agentWanted) this.#giveWay()
    })
  }

  async turn<T>(vm: RunningVm, action: (agent: Agent) => Promise<T>): Promise<T> {
    clearTimeout(this.#idle)
    this.#turns += 1
    try {
      const { agent, socket } = await this.#connection(vm)
      this.#using += 1
      socket.ref()
      try {
        return await action(agent)
      } finally {
        this.#using -= 1
        this.#usedAt = performance.now()
        if (this.#using === 0) this.#onUnused?.()
      }
    } catch (error) {
      throw asAgentError(error)
    } finally {
      this.#turns -= 1
      if (this.#turns === 0) this.#keepAWhile()
    }
  }

  /** Asks the agent whether it answers at once, by the connection that is held. False without one. */
  async answers(): Promise<boolean> {
    const { agent } = this.#connected ?? {}
    if (agent === undefined || this.#passage !== undefined || performance.now() > this.#usedAt + restMs) return false
    const answer = agent.requireAnswer()
    return await new Promise<boolean>((resolve) => {
      const late = setTimeout(resolve, promptMs, false)
      const settle = (isAnswered: boolean): void => {
        clearTimeout(late)
        resolve(isAnswered)
      }
      answer.then(
        () => {
          settle(true)
        },
        () => {
          settle(false)
        },
      )
    })
  }

  /** Ends the turns under way. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#watcher.close()
    clearTimeout(this.#idle)
    if (this.#turns > 0) this.#connected?.agent.fail(closed())
    await this.#passage
    await this.#disconnect()
  }

  async #connection(vm: RunningVm): Promise<Connected> {
    const askedAt = performance.now()
    for (;;) {
      if (this.#isClosed) throw closed()
      // The agent was found silent while this turn waited.
      if (this.#silentAt > askedAt) throw new AgentSilentError(turnTimeoutMs)
      if (this.#passage !== undefined) await this.#passage
      else if (this.#connected === undefined) await this.#pass(() => this.#open(vm))
      else if (await this.#isCurrent(this.#connected)) {
        const { known } = this.#connected
        if (!known.has(vm)) await vm.requireSameLife()
        known.add(vm)
        const connected = this.#current(known)
        if (connected === undefined) continue
        const restedMs = this.#using > 0 ? connected.agent.silentMs : performance.now() - this.#usedAt
        if (restedMs < restMs) return connected
        await this.#pass(() => this.#synchronize(connected.agent))
        this.#usedAt = performance.now()
      } else await this.#pass(() => this.#disconnect())
    }
  }

  /** Opens or closes the connection. Turns that wait for it find out themselves how that has ended. */
  async #pass(step: () => Promise<void>): Promise<void> {
    const passing = step()
    const passage = passing.catch(() => undefined)
    this.#passage = passage
    try {
      await passing
    } finally {
      if (this.#passage === passage) this.#passage = undefined
    }
  }

  /** The connection, unless it was given up in between. */
  #current(known: WeakSet<RunningVm>): Connected | undefined {
    return this.#passage === undefined && this.#connected?.known === known ? this.#connected : undefined
  }

  async #isCurrent({ agent, life }: Connected): Promise<boolean> {
    if (performance.now() < this.#seenAliveAt + sameLifeMs) return agent.isOpen
    const isOver = await life.isOver()
    this.#seenAliveAt = performance.now()
    return !isOver && agent.isOpen
  }

  async #open(vm: RunningVm): Promise<void> {
    const state = await vm.look()
    if (atRest.includes(state)) throw invalidState(state, ['running'])
    await requireAgent(vm)
    const life = new GuestLife(vm.folder, vm.run)
    const socket = await connectSocket(vm.folder, runFiles.agent, turnTimeoutMs)
    const agent = new AgentConnection(socket)
    this.#connected = { agent, socket, life, known: new WeakSet(), since: performance.now() }
    this.#watch = setInterval(() => {
      inBackground(`Watching the agent of the VM ${vm.definition.id}`, () => this.#look(vm, agent, life))
    }, watchMs).unref()
    try {
      await this.#synchronize(agent)
      await vm.requireSameLife()
      this.#usedAt = performance.now()
      this.#seenAliveAt = performance.now()
    } catch (error) {
      await this.#disconnect()
      throw error
    }
  }

  async #synchronize(agent: AgentConnection): Promise<void> {
    if (this.#isClosed) throw closed()
    // Others that hold the agent are asked again and again: one of them may get it before this process does.
    const ask = (): void => {
      inBackground(`Asking for the agent in ${this.#folder}`, () =>
        writeFile(join(this.#folder, runFiles.agentWanted), ''),
      )
      request = setTimeout(ask, requestMs)
    }
    let request = setTimeout(ask, firstRequestMs)
    try {
      await agent.synchronize(turnTimeoutMs)
    } catch (error) {
      if (error instanceof AgentSilentError) this.#silentAt = performance.now()
      throw error
    } finally {
      clearTimeout(request)
    }
  }

  /** Fails the connection if the agent that is asked something will not answer any more, and asks again one that may be another. */
  async #look(vm: RunningVm, agent: AgentConnection, life: GuestLife): Promise<void> {
    if (this.#turns === 0) return
    try {
      if (await life.isOver()) await vm.requireSameLife()
      await requireAgent(vm)
      if (agent.silentMs > watchMs) agent.probe()
    } catch (error) {
      agent.fail(asAgentError(error))
    }
  }

  async #disconnect(): Promise<void> {
    const connected = this.#connected
    if (connected === undefined) return
    this.#connected = undefined
    clearInterval(this.#watch)
    clearTimeout(this.#givingWay)
    this.#givingWay = undefined
    await connected.agent.close()
  }

  /** Lets another process have the agent, once the turns under way have ended. */
  #giveWay(): void {
    const { since } = this.#connected ?? {}
    if (since === undefined || this.#passage !== undefined || this.#givingWay !== undefined) return
    this.#givingWay = setTimeout(
      () => {
        inBackground(`Handing over the agent in ${this.#folder}`, () => this.#pass(() => this.#handOver()))
      },
      since + minHeldMs - performance.now(),
    )
  }

  async #handOver(): Promise<void> {
    if (this.#using > 0) await new Promise<void>((resolve) => (this.#onUnused = resolve))
    this.#onUnused = undefined
    await rm(join(this.#folder, runFiles.agentWanted), { force: true })
    await this.#disconnect()
  }

  #keepAWhile(): void {
    if (this.#isClosed) return
    this.#idle = setTimeout(() => {
      inBackground(`Closing the connection to the agent in ${this.#folder}`, async () => {
        await this.#pass(() => this.#disconnect())
        if (this.#turns > 0) return
        this.#watcher.close()
        this.#onIdle()
      })
    }, keptMs)
    // A connection that is not used does not keep this process alive.
    this.#idle.unref()
    this.#connected?.socket.unref()
  }
}

const closed = (): DOMException => new DOMException('the server was closed', 'AbortError')

/** A QEMU that can't be reached, or is too busy to answer, keeps this process from its agent. */
function asAgentError(error: unknown): Error {
  if (error instanceof QmpConnectionError || error instanceof QmpTimeoutError)
    return new AgentConnectionError(error.message, error)
  return error instanceof Error ? error : new AgentConnectionError(String(error))
}

/** Throws unless an agent has opened its port. */
async function requireAgent({ monitor }: RunningVm): Promise<void> {
  const chardevs = v.parse(chardevsSchema, await monitor((client) => client.execute('query-chardev')))
  if (!chardevs.some((chardev) => chardev.label === 'agent' && chardev['frontend-open'])) throw new AgentAbsentError()
}
