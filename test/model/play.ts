import assert from 'node:assert/strict'
import type { Server, Vm, VmState } from 'awaitvm'
import { prepare, type Prepared } from './calls.js'
import { explain, mayGoDownLater, type Ended } from './explain.js'
import { HandledJob } from './handled-job.js'
import type { ModelHost } from './model-host.js'
import type { ModelVm } from './model-vm.js'
import type { Call, Step, Trouble } from './step.js'
import { agrees, observe, type Known } from './world.js'

/** Enough for operations on one VM and on several. More VMs only make it slower. */
const maxVms = 5

interface Begun extends Prepared {
  readonly known: Known
  readonly handled: HandledJob
}

/** Plays random steps on a host, and compares it with the reference after each. */
export class Play {
  readonly #host: ModelHost
  readonly #known = new Map<string, Known>()
  #lastName = 0
  /** The number of random operations, without those that only check. */
  operations = 0

  constructor(host: ModelHost) {
    this.#host = host
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const step of steps) await this.#play(step)
    await this.#checkList()
  }

  get #server(): Server {
    return this.#host.server
  }

  async #play(step: Step): Promise<void> {
    switch (step.kind) {
      case 'calls':
        return this.#playCalls(step.calls, step.trouble)
      case 'happen':
        return this.#playHappening(step.vm, step.what)
      case 'list':
        return this.#checkList()
      case 'reconnect':
        return this.#playReconnect()
    }
  }

  async #playCalls(calls: readonly Call[], trouble: Trouble | undefined): Promise<void> {
    const [first] = calls
    if (this.#known.size === 0 || (calls.length === 1 && first?.what === 'create' && this.#known.size < maxVms)) {
      await this.#create(first)
      return
    }
    const seconds = await this.#seenBySecond()
    const prepared = calls.map((call) => {
      const known = this.#choose(call.vm)
      // The connection that makes the call is random too.
      const second = call.turns % 2 === 1 ? seconds.get(known.vm.id) : undefined
      const vm = second ?? known.vm
      const by = second === undefined ? 'first' : 'second'
      const isGrowing = call.what === 'create' || call.what === 'clone'
      const what = isGrowing && this.#known.size + calls.length > maxVms ? 'look' : call.what
      const other = calls.length === 1 && call.snapshot > 6 ? this.#choose(call.vm + 1) : undefined
      const taken = other === known ? undefined : other?.model.name
      return { known, call, ...prepare({ ...call, what }, { ...known, vm }, this.#host, this.#newName(), taken, by) }
    })
    const struck = trouble === undefined ? undefined : prepared[trouble.call % prepared.length]
    const endTrouble =
      trouble && struck && this.#host.trouble?.(trouble.what, { operation: struck.operation, vm: struck.known.vm.id })
    const begun = prepared.map(({ call, ...rest }) => ({ ...rest, handled: new HandledJob(rest.begin, call) }))
    this.operations += begun.length
    await this.#drive(begun.map(({ handled }) => handled))
    endTrouble?.()
    const troubleThere = endTrouble === undefined ? undefined : trouble?.what
    for (const known of new Set(begun.map(({ known }) => known))) {
      await this.#verify(
        known,
        begun.filter((one) => one.known === known),
        troubleThere,
      )
    }
    await this.#adopt(begun)
  }

  async #seenBySecond(): Promise<ReadonlyMap<string, Vm>> {
    const vms = (await this.#host.second?.getVmList().unwrap()) ?? []
    return new Map(vms.map((vm) => [vm.id, vm]))
  }

  /** Lets time go on until all jobs have ended. Cancels those that would never end by themselves. */
  async #drive(jobs: readonly HandledJob[]): Promise<void> {
    while (jobs.some(({ job }) => job.finishedAt === undefined)) {
      for (const handled of jobs) handled.tick()
      if (await this.#host.turn()) continue
      for (const handled of jobs) if (handled.job.finishedAt === undefined) handled.cancel()
    }
    // Lets faults take effect that come after an operation.
    await this.#host.settle?.()
  }

  async #verify(known: Known, begun: readonly Begun[], trouble: Trouble['what'] | undefined): Promise<void> {
    const ended: Ended[] = []
    for (const { action, handled } of begun) {
      const result = await handled.check()
      if (result.isOk()) ended.push({ action, code: 'SUCCESS' })
      else {
        const { error } = result
        const mayFail = trouble === 'error' || trouble === 'crash'
        const state = error.code === 'INVALID_STATE' ? { ...(error as { state?: VmState; expected?: VmState[] }) } : {}
        ended.push({ action, code: error.code, state: state.state, expected: state.expected, mayFail })
      }
    }
    const before = known.model
    if (trouble === 'crash') {
      // A guest may also crash while it starts. Then the VM does not run when its job has ended.
      const comesUp = begun.some(({ operation }) => operation === 'vm.start' || operation === 'vm.resume')
      const from = ['running', 'paused', ...(comesUp ? (['stopped', 'suspended'] as const) : [])] as const
      ended.push({ action: { kind: 'happen', state: 'crashed', from }, code: undefined })
    }
    if (trouble === 'interference') {
      ended.push({ action: { kind: 'happen', state: 'paused', from: ['running'] }, code: undefined })
    }
    const observed = await observe(known.vm)
    const after = explain(before, ended, (model) => agrees(model, observed?.model))
    const story = { before, calls: begun.map(({ operation, action }) => [operation, action]), ended, observed, trouble }
    if (after === undefined) assert.fail(`no order of the calls explains ${JSON.stringify(story, undefined, 1)}`)
    if (after.vm === undefined || observed === undefined) this.#known.delete(known.vm.id)
    else if (this.#host.shutdownTimeoutMs !== undefined && mayGoDownLater(ended)) await this.#remove(known)
    else this.#keep(known, after.vm, observed.snapshotIds)
  }

  /** True if it is unknown when its guest goes down. */
  async #remove({ vm }: Known): Promise<void> {
    await vm.stop({ mode: 'kill' })
    await vm.delete().unwrap()
    this.#known.delete(vm.id)
  }

  #keep(known: Known, model: ModelVm, snapshotIds: Map<string, string>): void {
    known.model = model
    known.snapshotIds = snapshotIds
    assert.equal(known.vm.state, model.state)
    assert.equal(known.vm.name, model.name)
  }

  /** Adds clones as VMs of their own. The clone of a job with an unknown outcome may exist or not. */
  async #adopt(begun: readonly Begun[]): Promise<void> {
    for (const { action, handled, known } of begun) {
      if ((action.kind !== 'clone' && action.kind !== 'twin') || action.isTaken) continue
      const code = handled.job.retCode
      const found = await this.#server.getVm(action.name)
      if (code !== 'OUTCOME_UNKNOWN') assert.equal(found.isOk(), code === 'SUCCESS')
      if (found.isErr()) continue
      if (action.kind === 'clone') await this.#learn(found.value, 'stopped', { owner: action.owner })
      // Another call may have pressed the power button before the memory was saved, or started the guest again.
      else if (begun.length > 1) await this.#delete(found.value)
      else {
        const { model } = known
        const { bootMiB } = model.snapshots.find(({ name }) => name === action.of) ?? model
        await this.#learn(found.value, 'running', { bootMiB })
      }
    }
  }

  async #delete(vm: Vm): Promise<void> {
    const job = vm.delete({ force: true })
    while (job.finishedAt === undefined) await this.#host.turn()
    await job.unwrap()
  }

  async #create(call: Call | undefined): Promise<void> {
    const name = this.#newName()
    const job = this.#server.createVm({ ...this.#host.spec, name })
    const handled = new HandledJob(() => job, { what: 'create', vm: 0, snapshot: 0, then: 'await', turns: 0, ...call })
    this.operations += 1
    await this.#drive([handled])
    await handled.check()
    const found = await this.#server.getVm(name)
    assert.ok(job.retCode === 'SUCCESS' || job.retCode === 'JOB_CANCELLED')
    assert.equal(found.isOk(), job.retCode === 'SUCCESS')
    if (found.isOk()) await this.#learn(found.value, 'stopped')
  }

  async #learn(vm: Vm, state: VmState, untold: Partial<Pick<ModelVm, 'owner' | 'bootMiB'>> = {}): Promise<void> {
    const observed = await observe(vm)
    assert.ok(observed !== undefined)
    assert.equal(observed.model.state, state)
    assert.deepEqual(observed.model.snapshots, [])
    assert.equal(observed.model.owner !== undefined, untold.owner !== undefined)
    this.#known.set(vm.id, { vm, ...observed, model: { ...observed.model, ...untold } })
  }

  async #playHappening(choice: number, what: 'crash' | 'powerOff'): Promise<void> {
    const running = [...this.#known.values()].filter(({ model }) => model.state === 'running')
    const known = running[choice % running.length]
    if (known === undefined) return
    await this.#host.happen(known.vm, what)
    this.operations += 1
    const observed = await observe(known.vm)
    const state = what === 'crash' ? this.#host.afterCrash : 'stopped'
    // The guest is restarted before that.
    const model = { ...known.model, state, bootMiB: known.model.memoryMiB }
    assert.ok(agrees(model, observed?.model))
    this.#keep(known, model, known.snapshotIds)
  }

  async #playReconnect(): Promise<void> {
    const after = await this.#host.reconnect?.()
    if (after === undefined) return
    for (const [id, known] of this.#known) {
      const found = await this.#server.getVm(id)
      const hasEnded = known.model.owner === 'first'
      assert.equal(found.isErr() && found.error.code === 'VM_NOT_FOUND', hasEnded)
      if (hasEnded) {
        this.#known.delete(id)
        continue
      }
      const vm = found._unsafeUnwrap()
      const model = { ...known.model, state: after(known.model.state) }
      const again: Known = { vm, model, snapshotIds: known.snapshotIds }
      this.#known.set(id, again)
      assert.ok(agrees(model, (await observe(vm))?.model))
    }
  }

  async #checkList(): Promise<void> {
    const expected = [...this.#known].map(([id, { model }]) => [id, model.name, model.state]).sort()
    for (const server of [this.#server, this.#host.second]) {
      // Damaged VMs are not part of the play.
      const told = (await server?.getVmList().unwrap())?.filter(({ problem }) => problem === undefined)
      if (told !== undefined) assert.deepEqual(told.map(({ id, name, state }) => [id, name, state]).sort(), expected)
    }
  }

  #choose(number: number): Known {
    const all = [...this.#known.values()]
    const known = all[number % all.length]
    if (known === undefined) throw new Error('there is no VM')
    return known
  }

  #newName(): string {
    this.#lastName += 1
    return `model-${this.#lastName}`
  }
}
