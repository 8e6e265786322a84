import { expect } from 'vitest'
import type { Vm } from '../../../vm.js'
import type { NetworkAdapterConfig, VmConfig } from '../../../model/vm-config.js'
import { refusedPathOf } from '../host.js'
import type { Cases } from '../case.js'
import type { Trial } from '../trial.js'

const macAddress = '52:54:00:ab:cd:ef'
const anyMacAddress = /^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/

/** The reported host ports of a VM's first adapter. */
const hostPortsOf = ({ networkAdapters }: VmConfig): (number | undefined)[] =>
  networkAdapters?.[0]?.portForwards?.map(({ hostPort }) => hostPort) ?? []
const macAddressesOf = ({ networkAdapters }: VmConfig): (string | undefined)[] =>
  networkAdapters?.map((adapter) => adapter.macAddress) ?? []

const anyPort = expect.toSatisfy(
  (port: unknown) => Number.isInteger(port) && Number(port) >= 1 && Number(port) <= 65_535,
)

const runningVm = async (trial: Trial): Promise<{ vm: Vm; ports: (number | undefined)[] }> => {
  const networkAdapters = [{ portForwards: [{ guestPort: 22 }, { guestPort: 53, protocol: 'udp' as const }] }]
  const { vm } = await trial.runningVm({ networkAdapters })
  return { vm, ports: hostPortsOf(await vm.refresh().unwrap()) }
}

/** On a host whose adapters are all connected to something outside of the VM. */
const otherAdapters = (adapter: NetworkAdapterConfig, promises: Parameters<Cases>[0]['promises']): void => {
  promises('a VM has the network adapters that were asked for, in full', ['server.createVm'], async (trial) => {
    const vm = await trial.createVm({ networkAdapters: [{ ...adapter, macAddress }, adapter, adapter] })
    const { config } = vm
    const [, second, third] = macAddressesOf(config)
    expect(config.networkAdapters).toEqual([
      { ...adapter, macAddress },
      { ...adapter, macAddress: expect.stringMatching(anyMacAddress) },
      { ...adapter, macAddress: expect.stringMatching(anyMacAddress) },
    ])
    expect(second).not.toBe(third)
    expect(await vm.refresh().unwrap()).toEqual(config)
  })

  promises('network adapters of a stopped VM can be changed', ['vm.edit'], async (trial) => {
    const vm = await trial.createVm({ networkAdapters: [adapter] })
    const { networkAdapters: before = [] } = vm.config
    expect(await vm.edit({ networkAdapters: before }).unwrap()).toEqual(vm.config)
    const { networkAdapters: after } = await vm
      .edit({ networkAdapters: [adapter, { ...adapter, macAddress }] })
      .unwrap()
    expect(after).toEqual([...before, { ...adapter, macAddress }])
    const outside = { network: 'user' as const, outbound: true }
    const [moved] = (await vm.edit({ networkAdapters: [outside] }).unwrap()).networkAdapters ?? []
    expect(moved).toEqual({ ...outside, macAddress: before[0]?.macAddress })
    expect((await vm.edit({ networkAdapters: [] }).unwrap()).networkAdapters).toEqual([])
  })
}

export const networkAdapters: Cases = ({ host, promises }) => {
  if (refusedPathOf(host, 'spec.networkAdapters') !== undefined) return

  promises('a VM that is given no network adapter has none', ['server.createVm'], async (trial) => {
    const vm = await trial.createVm()
    expect(vm.config.networkAdapters).toEqual([])
  })

  const { networkAdapter } = host
  if (networkAdapter !== undefined) {
    otherAdapters(networkAdapter, promises)
    return
  }

  promises('a VM has the network adapters that were asked for, in full', ['server.createVm'], async (trial) => {
    const vm = await trial.createVm({
      networkAdapters: [
        { macAddress, outbound: true, portForwards: [{ guestPort: 53, protocol: 'udp', hostAddress: '0.0.0.0' }] },
        { portForwards: [{ guestPort: 22, hostPort: 40_022 }] },
        {},
      ],
    })
    const { config } = vm
    const [, second, third] = macAddressesOf(config)
    expect(config.networkAdapters).toEqual([
      {
        macAddress,
        network: 'user',
        outbound: true,
        portForwards: [{ guestPort: 53, protocol: 'udp', hostAddress: '0.0.0.0' }],
      },
      {
        macAddress: expect.stringMatching(anyMacAddress),
        network: 'user',
        outbound: false,
        portForwards: [{ guestPort: 22, hostPort: 40_022, protocol: 'tcp', hostAddress: '127.0.0.1' }],
      },
      { macAddress: expect.stringMatching(anyMacAddress), network: 'user', outbound: false, portForwards: [] },
    ])
    expect(second).not.toBe(third)
    expect(await vm.refresh().unwrap()).toEqual(config)
  })

  promises(
    'a port that the host chose is reported while the VM runs, and is the same the next time',
    ['vm.start', 'vm.stop', 'guest'],
    async (trial) => {
      const { vm, ports } = await runningVm(trial)
      expect(ports).toEqual([anyPort, anyPort])
      await vm.stop({ mode: 'kill' }).unwrap()
      expect(hostPortsOf(await vm.refresh().unwrap())).toEqual([undefined, undefined])
      await vm.start().unwrap()
      expect(hostPortsOf(await vm.refresh().unwrap())).toEqual(ports)
    },
  )

  promises('two VMs that run have different ports', ['vm.start', 'guest'], async (trial) => {
    const [first, second] = [await runningVm(trial), await runningVm(trial)]
    expect(first.ports[0]).not.toBe(second.ports[0])
    expect(first.ports[1]).not.toBe(second.ports[1])
  })

  promises(
    'a VM with a network adapter keeps its memory and its ports over a suspension',
    ['vm.suspend', 'vm.resume', 'guest'],
    async (trial) => {
      const { vm, ports } = await runningVm(trial)
      const counted = await trial.talkTo(vm).count()
      await vm.suspend().unwrap()
      expect(hostPortsOf(await vm.refresh().unwrap())).toEqual([undefined, undefined])
      await vm.resume().unwrap()
      expect(hostPortsOf(await vm.refresh().unwrap())).toEqual(ports)
      expect(await trial.talkTo(vm).count()).toBe(counted + 1)
    },
  )

  promises(
    'a switch to a snapshot brings its network adapters back',
    ['vm.createSnapshot', 'vm.switchToSnapshot', 'vm.edit', 'vm.stop', 'guest'],
    async (trial) => {
      const { vm, ports } = await runningVm(trial)
      const { networkAdapters: before } = vm.config
      const counted = await trial.talkTo(vm).count()
      const { id } = await vm.createSnapshot({ name: 'connected' }).unwrap()
      await vm.stop({ mode: 'kill' }).unwrap()
      await vm.edit({ networkAdapters: [] }).unwrap()
      await vm.switchToSnapshot(id).unwrap()
      expect((await vm.refresh().unwrap()).networkAdapters).toEqual(before)
      expect(hostPortsOf(vm.config)).toEqual(ports)
      expect(await trial.talkTo(vm).count()).toBe(counted + 1)
    },
  )

  promises('a clone has network adapters like the original, of other addresses', ['vm.clone'], async (trial) => {
    const portForwards = [{ guestPort: 22, hostPort: 40_022 }, { guestPort: 80 }]
    const vm = await trial.createVm({ networkAdapters: [{ macAddress, portForwards }, { outbound: true }] })
    const copy = await vm.clone({ name: 'copy' }).unwrap()
    expect(copy.config.networkAdapters).toMatchObject([{ outbound: false, portForwards }, { outbound: true }])
    const addresses = [...macAddressesOf(vm.config), ...macAddressesOf(copy.config)]
    expect(new Set(addresses).size, 'different addresses').toBe(4)
  })

  promises('network adapters of a stopped VM can be changed', ['vm.edit'], async (trial) => {
    const vm = await trial.createVm({ networkAdapters: [{ portForwards: [{ guestPort: 22 }] }] })
    const { networkAdapters: before = [] } = vm.config
    expect(await vm.edit({ networkAdapters: before }).unwrap()).toEqual(vm.config)
    const wanted = [{ outbound: true }, { macAddress }]
    const { networkAdapters: after } = await vm.edit({ networkAdapters: wanted }).unwrap()
    expect(after).toEqual([
      { macAddress: before[0]?.macAddress, network: 'user', outbound: true, portForwards: [] },
      { macAddress, network: 'user', outbound: false, portForwards: [] },
    ])
    expect((await vm.refresh().unwrap()).networkAdapters).toEqual(after)
    const lab = { macAddress, network: { private: 'lab' } }
    expect((await vm.edit({ networkAdapters: [lab] }).unwrap()).networkAdapters).toEqual([lab])
    expect((await vm.edit({ networkAdapters: [] }).unwrap()).networkAdapters).toEqual([])
  })

  promises(
    'network adapters of a running VM change, or stay as they are with an error',
    ['vm.edit', 'guest'],
    async (trial) => {
      const { vm } = await runningVm(trial)
      const before = vm.config
      const edited = await vm.edit({ networkAdapters: [{ outbound: true }] })
      const now = await vm.refresh().unwrap()
      if (edited.isOk()) expect(now.networkAdapters).toMatchObject([{ outbound: true, portForwards: [] }])
      else {
        expect(edited.error).toMatchObject({ code: 'INVALID_STATE', expected: expect.arrayContaining(['stopped']) })
        expect(now).toEqual(before)
      }
      await trial.expectState(vm, 'running')
    },
  )

  if (!host.keepsVms) return

  promises('network adapters are still there for the next connection', ['vm.start', 'guest'], async (trial) => {
    const { vm } = await runningVm(trial)
    const before = vm.config
    const server = await trial.reopen()
    const found = await server.getVm(vm.id).unwrap()
    const expected = host.onClose === 'runs-on' ? hostPortsOf(before) : [undefined, undefined]
    expect(hostPortsOf(found.config)).toEqual(expected)
    expect(macAddressesOf(found.config)).toEqual(macAddressesOf(before))
  })
}
