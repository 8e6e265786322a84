// throw-away-vm.ts
// npx tsx throw-away-vm.ts qmp:///srv/vms debian
import { randomUUID } from 'node:crypto'
import { connect, type Server, type Vm } from 'awaitvm'

/** Aborts on Ctrl-C and on a request to end; a second one ends the process at once. */
export function interruption(): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort(name))
  return controller.signal
}

/** Runs `work` with a clone of a stopped VM, and deletes the clone afterwards: after an error and Ctrl-C, too. */
export async function withThrowAwayVm(
  server: Server,
  template: string,
  signal: AbortSignal,
  work: (vm: Vm) => Promise<void>,
): Promise<void> {
  const original = await server.getVm(template).unwrap()
  const linked = server.capabilities.has('vm.clone.linked')
  const vm = await original.clone({ name: `${template}-${randomUUID()}`, linked, signal }).unwrap()
  try {
    await work(vm)
  } finally {
    // No signal here: this must also be done after an abort.
    await vm.delete({ force: true }).unwrap()
  }
}

if (process.argv[1] === import.meta.filename) {
  const [, , uri = '', template = ''] = process.argv
  const signal = interruption()
  try {
    await using server = await connect(uri).unwrap()
    await withThrowAwayVm(server, template, signal, async (vm) => {
      await vm.start({ signal }).unwrap()
      vm.console().pipe(process.stdout)
      await vm.waitForState('stopped', { signal }).unwrap()
    })
  } catch (error) {
    if (!signal.aborted) throw error
    process.exitCode = 130
  }
}
