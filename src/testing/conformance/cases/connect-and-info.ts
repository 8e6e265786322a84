import { expect } from 'vitest'
import { connect } from '../../../connect.js'
import { failureOf } from '../expect-failure.js'
import type { Cases } from '../case.js'

export const connectAndInfo: Cases = ({ host, promises }) => {
  promises("a connection has its driver's name, its URI and its capabilities", [], async ({ server }) => {
    expect(server.driver).toBe(host.driver)
    expect(server.uri.split(':')[0]).toBe(host.name.split(':')[0])
    const always = [
      'connect',
      'server.close',
      'server.getJobs',
      'server.getVmList',
      'server.getVm',
      'vm.getState',
    ] as const
    for (const capability of always) expect(server.capabilities).toContain(capability)
  })

  promises('the host describes itself', ['server.getInfo'], async ({ server }) => {
    const info = await server.getInfo().unwrap()
    expect(info.driver).toBe(host.driver)
    for (const text of [info.hostName, info.hypervisor, info.version, info.guestArchitecture])
      expect(text).toMatch(/\S/)
    expect(info.cpus).toBeGreaterThanOrEqual(1)
    expect(Number.isInteger(info.cpus)).toBe(true)
    expect(info.memoryMiB).toBeGreaterThan(100)
    expect(info.freeMemoryMiB).toBeGreaterThanOrEqual(0)
    expect(info.freeMemoryMiB).toBeLessThanOrEqual(info.memoryMiB)
  })

  promises('connecting with an aborted signal ends with JOB_CANCELLED', [], async ({ server }) => {
    await failureOf(connect(server.uri, { signal: AbortSignal.abort() }), 'JOB_CANCELLED')
  })
}
