// until-ready.ts
// npx tsx until-ready.ts qmp:///srv/vms debian
import { setTimeout as delay } from 'node:timers/promises'
import { connect, type Vm } from 'awaitvm'

/** Waits until programs run in the guest. Throws every error but the one that means "it may still be booting". */
export async function untilReady(vm: Vm, signal: AbortSignal): Promise<void> {
  for (;;) {
    const result = await vm.guest.exec(['true'], { signal })
    if (result.isOk()) return
    if (result.error.code !== 'GUEST_UNAVAILABLE') throw result.error
    await delay(500, undefined, { signal })
  }
}

if (process.argv[1] === import.meta.filename) {
  const [, , uri = '', name = ''] = process.argv
  await using server = await connect(uri).unwrap()
  const vm = await server.getVm(name).unwrap()
  await vm.start().unwrap()
  await untilReady(vm, AbortSignal.timeout(120_000))
  console.log(`${vm.name} is ready`)
}
