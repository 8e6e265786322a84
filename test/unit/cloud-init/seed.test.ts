import type { CloudInit } from 'awaitvm'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { seedFiles, seedImage } from '../../../src/cloud-init/seed.js'
import { newKeyPair } from '../../../src/ssh/new-key-pair.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'
import { createSimulatedServer } from 'awaitvm/testing'
import { checkSchema, mergeUserData, missingCloudInit } from '../../support/cloud-init.js'
import { skipWithout } from '../../support/optional-tool.js'

const identity = { instanceId: 'f3b0', hostname: 'web-1' }

const filesOf = (settings: CloudInit): Record<string, string> => Object.fromEntries(seedFiles(settings, identity))

const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBOPGpL3d0Q96yFQ71XcJq/4F1RvZTRpbMNK2q2viG6J ci@example.org'

/** All structured settings, and what cloud-init calls them. */
const structured = {
  users: [
    'default',
    {
      name: 'ci',
      sudo: true,
      sshKeys: [key],
      passwordHash: '$6$salt$hash',
      shell: '/bin/bash',
      groups: ['docker', 'adm'],
    },
    { name: 'plain' },
  ],
  packages: ['git', 'yes', '1:30'],
  packageUpdate: true,
  packageUpgrade: false,
  files: [
    { path: '/etc/motd', content: 'hello\n' },
    { path: '/home/ci/key', content: 'AAEC', encoding: 'base64', owner: 'ci:ci', permissions: '0600' },
  ],
  runCommands: ['echo "$HOME" > /root/home', ['touch', '/root/two words']],
  timezone: 'Europe/Berlin',
  locale: 'en_US.UTF-8',
} as const satisfies CloudInit

const cloudConfig = {
  users: [
    'default',
    {
      name: 'ci',
      sudo: 'ALL=(ALL) NOPASSWD:ALL',
      ssh_authorized_keys: [key],
      hashed_passwd: '$6$salt$hash',
      lock_passwd: false,
      shell: '/bin/bash',
      groups: 'docker, adm',
    },
    { name: 'plain' },
  ],
  packages: ['git', 'yes', '1:30'],
  package_update: true,
  package_upgrade: false,
  write_files: [
    { path: '/etc/motd', content: 'hello\n' },
    { path: '/home/ci/key', content: 'AAEC', encoding: 'b64', owner: 'ci:ci', defer: true, permissions: '0600' },
  ],
  runcmd: ['echo "$HOME" > /root/home', ['touch', '/root/two words']],
  timezone: 'Europe/Berlin',
  locale: 'en_US.UTF-8',
}

/** Texts that end a scalar early, change their type, or are refused if YAML is written carelessly. */
const hostile = [
  'quote" # no comment',
  "it's",
  'a\nrunning: wild\n- x',
  '\\',
  '---',
  'no',
  '0o17',
  '~',
  ' padded ',
  'tab\there',
  '\u0001\u007f\u0085\u2028\ufeff',
  'ü \u{1f600}',
  '&a *a !!python/object',
  '{{ jinja }}',
]

describe('the files of a seed', () => {
  test('structured settings become a cloud config', () => {
    const { 'user-data': userData = '', ...others } = filesOf(structured)
    expect(userData.split('\n', 1)).toEqual(['#cloud-config'])
    expect(parse(userData)).toEqual(cloudConfig)
    expect(Object.keys(others)).toEqual(['meta-data'])
    expect(parse(others['meta-data']!)).toEqual({ 'instance-id': 'f3b0', 'local-hostname': 'web-1' })
  })

  test('the keys of a host are for all users that the seed makes, and for that of the image', () => {
    const keys = {
      authorizedKey: 'ssh-ed25519 BBBB',
      hostKey: { publicKey: 'ssh-ed25519 CCCC', privateKey: 'secret\n' },
    }
    const files = seedFiles({ users: ['default', { name: 'ci', sshKeys: [key] }, { name: 'plain' }] }, identity, keys)
    expect(parse(files.get('user-data')!)).toEqual({
      users: [
        'default',
        { name: 'ci', ssh_authorized_keys: [key, 'ssh-ed25519 BBBB'] },
        { name: 'plain', ssh_authorized_keys: ['ssh-ed25519 BBBB'] },
      ],
      ssh_authorized_keys: ['ssh-ed25519 BBBB'],
      ssh_keys: { ed25519_private: 'secret\n', ed25519_public: 'ssh-ed25519 CCCC' },
    })
  })

  test('without any settings, there is an empty cloud config', () => {
    expect(parse(filesOf({})['user-data']!)).toEqual({})
    expect(parse(filesOf({ packages: [], files: [], runCommands: [] })['user-data']!)).toEqual({})
  })

  test('meta data, network and vendor data are files of their own', () => {
    const network = { version: 2, ethernets: { all: { match: { name: 'e*' }, dhcp4: true } } }
    const files = filesOf({
      metaData: { role: 'db' },
      networkConfig: network,
      vendorData: { packages: ['htop'] },
      userData: '#!/bin/sh\nexit 0\n',
    })
    expect(parse(files['meta-data']!)).toEqual({ role: 'db', 'instance-id': 'f3b0', 'local-hostname': 'web-1' })
    expect(parse(files['network-config']!)).toEqual(network)
    expect(files['vendor-data']).toMatch(/^#cloud-config\n/)
    expect(parse(files['vendor-data']!)).toEqual({ packages: ['htop'] })
    expect(files['user-data']).toBe('#!/bin/sh\nexit 0\n')
    expect(filesOf({ networkConfig: 'version: 1\n' })['network-config']).toBe('version: 1\n')
  })

  test.each(hostile)('the text %j stays what it is', (text) => {
    const settings: CloudInit = {
      files: [{ path: '/a', content: text }],
      runCommands: [[text]],
      metaData: { [text]: text },
    }
    const files = filesOf(settings)
    for (const content of Object.values(files)) expect(content).toMatch(/^[\n\x20-\x7e]*$/)
    expect(parse(files['user-data']!)).toEqual({
      write_files: [{ path: '/a', content: text }],
      runcmd: [[text]],
    })
    expect(parse(files['meta-data']!)).toMatchObject({ [text]: text })
  })

  test('several parts become a message whose parts are in order', () => {
    const { 'user-data': userData = '' } = filesOf({
      packages: ['git'],
      userData: [{ packages: ['vim'] }, '#!/bin/sh\necho ü\n'],
    })
    const boundary = /boundary="([^"]+)"/.exec(userData)?.[1] ?? ''
    const parts = userData.split(`--${boundary}`).slice(1, -1)
    const texts = parts.map((part) => Buffer.from(part.split('\n\n')[1] ?? '', 'base64').toString())
    expect(texts).toEqual([
      '#cloud-config\n"packages":\n  - "git"\n',
      '#cloud-config\n"packages":\n  - "vim"\n',
      '#!/bin/sh\necho ü\n',
    ])
    expect(userData).toMatch(/^[\n\x20-\x7e]*$/)
  })

  test('a seed that is too large is refused by the path of the setting', async () => {
    const files = Array.from({ length: 9 }, (_, index) => ({
      path: `/f${String(index)}`,
      content: 'x'.repeat(2 ** 20),
    }))
    expect(() => seedImage({ files }, identity, undefined, 'spec.cloudInit')).toThrow(
      /spec\.cloudInit has \d+ bytes as a seed/,
    )
  })
})

describe("cloud-init's own", () => {
  test('check of its schema passes', (context) => {
    skipWithout(context, missingCloudInit)
    const keys = { authorizedKey: key, hostKey: newKeyPair() }
    checkSchema(seedFiles(structured, identity, keys).get('user-data')!)
    for (const settings of [structured, {}, { users: [] }, { packages: [] }]) {
      checkSchema(filesOf(settings)['user-data']!)
    }
    expect(() => {
      checkSchema('#cloud-config\npackages: 5\n')
    }).toThrow()
  })

  test('reading of it gives what was said', (context) => {
    skipWithout(context, missingCloudInit)
    const settings: CloudInit = { runCommands: hostile, userData: '#!/bin/sh\necho ü\n' }
    expect(mergeUserData(filesOf(settings)['user-data']!)).toEqual({
      config: { runcmd: hostile },
      others: ['#!/bin/sh\necho ü\n'],
    })
  })

  test('merge joins lists, and otherwise the structured setting counts', (context) => {
    skipWithout(context, missingCloudInit)
    const { config } = mergeUserData(
      filesOf({
        ...structured,
        userData: [
          { packages: ['vim'], timezone: 'UTC', users: [{ name: 'other' }], ntp: { enabled: true, servers: ['a'] } },
          '#cloud-config\nntp:\n  enabled: false\n  servers: [b]\n  pools: [c]\n',
        ],
      })['user-data']!,
    )
    expect(config).toEqual({
      ...cloudConfig,
      packages: [...cloudConfig.packages, 'vim'],
      users: [...cloudConfig.users, { name: 'other' }],
      ntp: { enabled: true, servers: ['a', 'b'], pools: ['c'] },
    })
  })
})

test('the simulated host shows the host name and an instance id; an edit replaces or takes them away; clones have others', async () => {
  await using server = createSimulatedServer().server
  const vm = await server.createVm({ name: 'web-1', cloudInit: structured }).unwrap()
  const { cloudInit } = vm.config
  expect(cloudInit).toEqual({ hostname: 'web-1', instanceId: expect.stringMatching(/^[0-9a-f-]{36}$/) })
  const clone = await vm.clone({ name: 'web-2' }).unwrap()
  expect(clone.config.cloudInit).toMatchObject({ hostname: 'web-2' })
  expect(clone.config.cloudInit?.instanceId).not.toBe(cloudInit?.instanceId)

  const edited = await vm.edit({ cloudInit: { hostname: 'db' } }).unwrap()
  expect(edited.cloudInit).toMatchObject({ hostname: 'db' })
  expect(edited.cloudInit?.instanceId).not.toBe(cloudInit?.instanceId)
  expect((await vm.clone({ name: 'web-3' }).unwrap()).config.cloudInit).toMatchObject({ hostname: 'db' })
  expect((await vm.edit({ description: 'same seed' }).unwrap()).cloudInit).toEqual(edited.cloudInit)
  expect(await vm.edit({ cloudInit: false }).unwrap()).not.toHaveProperty('cloudInit')
  const error = await failureOf(vm.edit({ cloudInit: { hostname: '-' } }), 'INVALID_ARGUMENT')
  expect(error.path).toBe('changes.cloudInit.hostname')
})
