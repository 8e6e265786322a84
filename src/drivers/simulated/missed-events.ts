import type { VmEvent } from '../../model/vm-event.js'
import type { VmState } from '../../model/vm-state.js'
import type { SimulatedVm } from './simulated-vm.js'
import type { SimulatedVmStore } from './simulated-vm-store.js'

interface Missed {
  readonly name: string
  wasThere: boolean
  /** Before the first change that was missed, where it was one of the state. */
  state: VmState | undefined
}

/** What a connection misses while it is lost; once it is back, it tells what has become of it all. */
export class MissedEvents {
  readonly #missed = new Map<string, Missed>()

  note(event: VmEvent): void {
    if (!('vmId' in event)) return
    const { vmId, name } = event
    let missed = this.#missed.get(vmId)
    if (missed === undefined) {
      missed = { name, wasThere: event.type !== 'created', state: undefined }
      this.#missed.set(vmId, missed)
    }
    if (event.type === 'state') missed.state ??= event.previous
  }

  /** The events that lead from what was known to what is so now. */
  *catchUp(store: SimulatedVmStore, at: Date): Generator<VmEvent, void> {
    for (const [vmId, missed] of this.#missed) {
      const vm = store.find(vmId)
      if (vm?.id !== vmId) {
        if (missed.wasThere) yield { type: 'deleted', vmId, name: missed.name, at }
      } else yield* changesOf(vm, missed, at)
    }
  }
}

function* changesOf(vm: SimulatedVm, { wasThere, state: previous }: Missed, at: Date): Generator<VmEvent, void> {
  const { id: vmId, name, state } = vm
  if (!wasThere) yield { type: 'created', vmId, name, at }
  if (previous !== undefined && previous !== state) yield { type: 'state', vmId, name, state, previous, at }
  // What else it was can't be told apart: settings or snapshots.
  if (wasThere && previous === undefined) yield { type: 'config', vmId, name, at }
}
