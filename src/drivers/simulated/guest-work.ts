import type { VmError } from '../../errors.js'
import type { Run } from './run.js'
import type { SimulatedMachine } from './simulated-machine.js'

/** Waits for work in a guest. A cancel interrupts it, and so does the end of the guest. */
export async function inGuest<R>(
  run: Pick<Run, 'wait' | 'onMachineEnd'>,
  machine: SimulatedMachine,
  work: (signal: AbortSignal) => Promise<R>,
  explainEnd: () => VmError,
): Promise<R> {
  const controller = new AbortController()
  const end = (): void => {
    run.onMachineEnd(explainEnd())
  }
  if (machine.hasEnded) end()
  const unlisten = machine.onLifeEnd(end)
  try {
    return await run.wait<R>((resolve, reject) => {
      work(controller.signal).then(resolve, reject)
      return () => {
        controller.abort()
      }
    })
  } finally {
    unlisten()
  }
}
