import type { Server, Vm } from '../../src/index.js'

/** How often it is looked whether all are gone: a VM that was being made may turn up late. */
const rounds = 5

/** How long one step may take, in milliseconds. */
const timeoutMs = 120_000

/** Takes every VM away whose name begins with the prefix, and tells which are still there, and why. */
export async function removeVms(server: Server, prefix: string): Promise<readonly string[]> {
  let left: readonly string[] = []
  for (let round = 0; round < rounds; round += 1) {
    const vms = (await server.getVmList({ timeoutMs }).unwrap()).filter(({ name }) => name.startsWith(prefix))
    left = (await Promise.all(vms.map(remove))).filter((reason) => reason !== undefined)
    if (vms.length === 0) break
  }
  return left
}

async function remove(vm: Vm): Promise<string | undefined> {
  await vm.waitForState(['stopped', 'running', 'paused', 'suspended', 'crashed'], { timeoutMs })
  if (vm.state !== 'stopped') await vm.stop({ mode: 'kill', timeoutMs })
  const result = await vm.delete({ timeoutMs })
  if (result.isOk() || result.error.code === 'VM_NOT_FOUND') return undefined
  return `${vm.name}: ${result.error.message}`
}
