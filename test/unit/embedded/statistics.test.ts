import { connect } from 'awaitvm'
import { expect, test } from 'vitest'

test('processor time is that of the thread of the VM, and is left out where Node does not tell it', async () => {
  const began = performance.now()
  await using server = await connect('embedded:').unwrap()
  const vm = await server.createVm({ name: 'web-1' }).unwrap()
  await vm.start().unwrap()
  const { cpuTimeMs } = await vm.getStatistics().unwrap()
  if ('threadCpuUsage' in process) {
    expect(cpuTimeMs).toBeGreaterThan(0)
    expect(cpuTimeMs).toBeLessThanOrEqual(performance.now() - began)
  } else expect(cpuTimeMs).toBeUndefined()
})
