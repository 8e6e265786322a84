import { ProtocolError } from '../../errors.js'
import { commandNotFound } from '../../errors/lookup.js'
import { isJson } from '../../model/json.js'
import type { Actions } from './action.js'
import { requireMachine } from './observing-actions.js'

/** What only hosts of one kind do: a test plays them. */
export const nativeActions: Actions<'native.qmp'> = {
  'native.qmp': async (host, run, { vm: id, command, arguments: args }) => {
    const { vm } = await run.look(() => requireMachine(host, id, 'native.qmp'), host.store.get(id))
    const answering = async (): Promise<unknown> => await host.qmpHandler?.({ command, arguments: args, vm: vm.name })
    const answer = await run.busy(answering())
    if (answer === undefined) throw commandNotFound(command)
    if (isJson(answer)) return answer
    throw new ProtocolError({ reason: `the answer that the test gives to ${command} is not plain data` })
  },
}
