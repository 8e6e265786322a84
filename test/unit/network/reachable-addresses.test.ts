import { isIP } from 'node:net'
import { expect, test } from 'vitest'
import { reachableAddresses } from '../../../src/network/reachable-addresses.js'

const reachable = (...addresses: readonly string[]): string[] =>
  reachableAddresses(
    addresses.map((address) => ({ interfaceName: 'eth0', address, family: isIP(address) === 6 ? 'ipv6' : 'ipv4' })),
  ).map(({ address }) => address)

test('addresses by which others reach the guest are told, those of IPv4 first', () => {
  expect(reachable('169.254.10.20', 'fdb2:2c26:f4e4::5', '10.211.55.5', 'fe80::1', '192.0.2.7')).toEqual([
    '10.211.55.5',
    '192.0.2.7',
    'fdb2:2c26:f4e4::5',
  ])
})

test('loopback, link-local and what is no address are left out', () => {
  expect(
    reachable('127.0.0.1', '127.8.0.1', '0.0.0.0', '::', '::1', 'fe80::1%eth0', 'febf::1', '-', '', '300.1.1.1'),
  ).toEqual([])
  expect(reachable('169.253.1.1', '128.0.0.1', 'fec0::1', '::2')).toEqual([
    '169.253.1.1',
    '128.0.0.1',
    'fec0::1',
    '::2',
  ])
})
