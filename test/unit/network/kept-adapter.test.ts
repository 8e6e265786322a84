import { expect, test } from 'vitest'
import { cloneAdapters, keepAdapters, macAddressOf, shownAdapters } from '../../../src/network/kept-adapter.js'

/** Makes up the given addresses, in turn. */
const addresses = (...digits: string[]): (() => string) => {
  const left = [...digits]
  return () => macAddressOf(left.shift()!)
}

test('what is left open is decided', () => {
  expect(keepAdapters([{}, { portForwards: [{ guestPort: 22 }] }], [], addresses('00000a', '00000b'))).toEqual([
    { macAddress: '52:54:00:00:00:0a', network: 'user', outbound: false, portForwards: [] },
    {
      macAddress: '52:54:00:00:00:0b',
      network: 'user',
      outbound: false,
      portForwards: [{ guestPort: 22, protocol: 'tcp', hostAddress: '127.0.0.1' }],
    },
  ])
})

test('no two adapters have the same address, given or generated', () => {
  const wanted = [{}, { macAddress: '52:54:00:00:00:0a' }, {}]
  const kept = keepAdapters(wanted, [], addresses('00000a', '00000b', '00000b', '00000c'))
  expect(kept.map(({ macAddress }) => macAddress.slice(-2))).toEqual(['0b', '0a', '0c'])
})

test('an address that moves to another adapter is not kept in its place', () => {
  const before = keepAdapters([{}], [], addresses('00000a'))
  const after = keepAdapters([{}, { macAddress: before[0]!.macAddress }], before, addresses('00000b'))
  expect(after.map(({ macAddress }) => macAddress.slice(-2))).toEqual(['0b', '0a'])
})

test('a port that was found stays with forwards of the same guest port, unless a port is asked for', () => {
  const found = { protocol: 'tcp', hostAddress: '127.0.0.1' } as const
  const before = [
    {
      macAddress: '52:54:00:00:00:0a',
      network: 'user' as const,
      outbound: false,
      portForwards: [
        { ...found, guestPort: 22, foundHostPort: 5001 },
        { ...found, guestPort: 22, foundHostPort: 5002 },
        { ...found, guestPort: 80, foundHostPort: 5003 },
      ],
    },
  ]
  const portsAfter = (...portForwards: { guestPort: number; hostPort?: number; protocol?: 'udp' }[]): unknown[] =>
    keepAdapters([{ portForwards }], before, addresses()).flatMap((adapter) =>
      adapter.portForwards.map(({ hostPort, foundHostPort }) => [hostPort, foundHostPort]),
    )
  expect(portsAfter({ guestPort: 80 }, { guestPort: 22 })).toEqual([
    [undefined, 5003],
    [undefined, 5001],
  ])
  expect(portsAfter({ guestPort: 22 }, { guestPort: 22 }, { guestPort: 22 })).toEqual([
    [undefined, 5001],
    [undefined, 5002],
    [undefined, undefined],
  ])
  expect(portsAfter({ guestPort: 22, hostPort: 4 }, { guestPort: 80, protocol: 'udp' })).toEqual([
    [4, undefined],
    [undefined, undefined],
  ])
  const clone = cloneAdapters(before, addresses('00000b'))
  expect(clone[0]).toMatchObject({ macAddress: '52:54:00:00:00:0b' })
  expect(shownAdapters(clone, true)).toEqual(shownAdapters(clone, false))
  expect(shownAdapters(before, true)[0]?.portForwards?.map(({ hostPort }) => hostPort)).toEqual([5001, 5002, 5003])
  expect(shownAdapters(before, false)[0]?.portForwards?.map(({ hostPort }) => hostPort)).toEqual([
    undefined,
    undefined,
    undefined,
  ])
})

test('an adapter of another network has neither outbound nor forwards, and shows none', () => {
  const before = keepAdapters([{ network: { private: 'lab' } }], [], addresses('00000a'))
  expect(before).toMatchObject([{ network: { private: 'lab' }, outbound: false, portForwards: [] }])
  const shown = shownAdapters(before, true)
  expect(shown).toEqual([{ macAddress: '52:54:00:00:00:0a', network: { private: 'lab' } }])
  expect(keepAdapters(shown, before)).toEqual(before)
  expect(cloneAdapters(before, addresses('00000b'))).toMatchObject([
    { macAddress: '52:54:00:00:00:0b', network: { private: 'lab' } },
  ])
})
