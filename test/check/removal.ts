import type { Server, Vm } from '../../src/index.js'

/** Number of times that the list is read: a VM that was being made may appear late. */
const rounds = 5

/** Time limit of one step, in milliseconds. */
const timeoutMs = 120_000

/** Removes all VMs whose name begins with the prefix. Answers which are left, and why. */
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
