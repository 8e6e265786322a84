import { writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { expect } from 'vitest'
import { within } from '../deadline.js'
import { failureOf } from '../expect-failure.js'
import { vmCalls, vmOperations } from '../calls.js'
import type { Cases } from '../case.js'

/** They wait for the guest instead. */
const waiting = new Set<string>(['guest.waitUntilReady', 'guest.waitForPort'])

export const guestAgent: Cases = ({ promises, promisesInGuest }) => {
  for (const operation of vmOperations.filter((name) => name.startsWith('guest.') && !waiting.has(name))) {
    promises(`${operation} ends with GUEST_UNAVAILABLE if no agent answers`, [operation, 'vm.start'], async (trial) => {
      await writeFile(trial.path('in'), 'x')
      const vm = await trial.createVm(trial.host.specWithoutAgent ?? trial.profile.spec)
      await vm.start().unwrap()
      const error = await failureOf(vmCalls[operation](vm, trial), 'GUEST_UNAVAILABLE')
      expect(error.hint).toBeTruthy()
      await trial.expectState(vm, 'running')
    })
  }

  promises(
    'GUEST_UNAVAILABLE of a guest that boots is retryable until its agent answers',
    ['guest.exec', 'agent'],
    async (trial) => {
      const vm = await trial.bootVmWithAgent()
      const answer = async (): Promise<void> => {
        for (;;) {
          const result = await vm.guest.exec(['true'])
          if (result.isOk()) return
          expect(result.error).toMatchObject({ code: 'GUEST_UNAVAILABLE', retryable: true })
        }
      }
      await within(answer(), () => 'the agent')
    },
  )

  promisesInGuest(
    'the addresses of a guest are those that others may reach, IPv4 first',
    ['guest.getNetworkAddresses'],
    async (vm) => {
      const addresses = await vm.guest.getNetworkAddresses().unwrap()
      for (const { address, family, interfaceName, macAddress } of addresses) {
        expect(isIP(address), address).toBe(family === 'ipv4' ? 4 : 6)
        expect(address).not.toMatch(/^(127\.|169\.254\.|::1$|fe80:)/)
        expect(interfaceName).toMatch(/\S/)
        if (macAddress !== undefined) expect(macAddress).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/)
      }
      const families = addresses.map(({ family }) => family)
      expect(families).toEqual(families.toSorted())
    },
  )
}
