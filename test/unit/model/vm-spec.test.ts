import { resolve } from 'node:path'
import type { VmSpec } from 'awaitvm'
import { describe, expect, test } from 'vitest'
import { validate } from '../../../src/errors/validate.js'
import { vmSpecSchema } from '../../../src/model/vm-spec.js'

const path = resolve('disk.img')
const wrong = (spec: unknown): { path: string; reason: string } => {
  const { path: where, reason } = validate(vmSpecSchema, spec, 'spec')._unsafeUnwrapErr()
  return { path: where, reason }
}
const named = (rest: object): object => ({ name: 'web-1', ...rest })
const adapter = (settings: object): object => named({ networkAdapters: [settings] })
const forward = (settings: object): object => adapter({ portForwards: [{ guestPort: 22, ...settings }] })
const loneSurrogate = 'a\ud800'

test.for<[unknown, string, string]>([
  [undefined, 'spec', 'spec must be an object, and is undefined'],
  [null, 'spec', 'spec must be an object, and is null'],
  [[], 'spec', 'spec must be an object, and is []'],
  [5, 'spec', 'spec must be an object, and is 5'],
  [{}, 'spec.name', 'spec.name is missing'],
  [{ name: 5 }, 'spec.name', 'spec.name must be a string, and is 5'],
  [{ name: undefined }, 'spec.name', 'spec.name must be a string, and is undefined'],
  [{ name: '' }, 'spec.name', "spec.name must not be empty, and is ''"],
  [{ name: '  ' }, 'spec.name', "spec.name must not be empty, and is '  '"],
  [{ name: 'a/b' }, 'spec.name', `spec.name must not contain "/", "\\" or control characters, and is 'a/b'`],
  [{ name: 'a\\b' }, 'spec.name', `spec.name must not contain "/", "\\" or control characters, and is 'a\\\\b'`],
  [{ name: 'a\0' }, 'spec.name', `spec.name must not contain "/", "\\" or control characters, and is 'a\\x00'`],
  [{ name: 'a\nb' }, 'spec.name', `spec.name must not contain "/", "\\" or control characters, and is 'a\\nb'`],
  [{ name: '.' }, 'spec.name', `spec.name must not be "." or "..", and is '.'`],
  [{ name: '..' }, 'spec.name', `spec.name must not be "." or "..", and is '..'`],
  [
    { name: 'x'.repeat(300) },
    'spec.name',
    `spec.name must have at most 128 characters, and is '${'x'.repeat(40)}'... 260 more characters`,
  ],
  [{ name: loneSurrogate }, 'spec.name', `spec.name must be well-formed Unicode, and is 'a`],
  [named({ nmae: 1 }), 'spec.nmae', 'spec.nmae is not a known setting'],
  [named({ description: 'x'.repeat(4097) }), 'spec.description', 'must have at most 4096 characters'],
  [named({ cpus: 0 }), 'spec.cpus', 'spec.cpus must be a whole number from 1 to 1024, and is 0'],
  [named({ cpus: 1.5 }), 'spec.cpus', 'spec.cpus must be a whole number from 1 to 1024, and is 1.5'],
  [named({ cpus: '2' }), 'spec.cpus', "spec.cpus must be a number, and is '2'"],
  [named({ memoryMiB: -1 }), 'spec.memoryMiB', 'spec.memoryMiB must be a whole number from 1 to 4294967296, and is -1'],
  [named({ memoryMiB: Number.NaN }), 'spec.memoryMiB', 'spec.memoryMiB must be a number, and is NaN'],
  [named({ memoryMiB: Infinity }), 'spec.memoryMiB', 'and is Infinity'],
  [named({ disks: {} }), 'spec.disks', 'spec.disks must be an array, and is {}'],
  [named({ disks: [5] }), 'spec.disks[0]', 'spec.disks[0] must be an object, and is 5'],
  [named({ disks: [{}] }), 'spec.disks[0]', 'spec.disks[0] must have an image, a sizeMiB or both, and is {}'],
  [
    named({ disks: [{ id: 'a', sizeMiB: 1 }] }),
    'spec.disks[0].id',
    "spec.disks[0].id must be absent, since the host gives it, and is 'a'",
  ],
  [
    named({ disks: [{ sizeMiB: 1 }, { image: 'disk.img' }] }),
    'spec.disks[1].image',
    'must be an absolute path (use path.resolve()), or a URL of https or http',
  ],
  [named({ disks: [{ image: 'ftp://example.org/disk.img' }] }), 'spec.disks[0].image', 'or a URL of https or http'],
  [named({ disks: [{ image: 'https://[' }] }), 'spec.disks[0].image', 'or a URL of https or http'],
  [
    named({ disks: [{ image: 'https://example.org/disk.img' }] }),
    'spec.disks[0]',
    'spec.disks[0] needs a sha256 or a sha512, since its image is fetched',
  ],
  [
    named({ disks: [{ image: path, sha256: 'a'.repeat(64) }] }),
    'spec.disks[0]',
    'has a checksum, which only an image that is fetched can have',
  ],
  [
    named({ disks: [{ image: 'https://example.org/disk.img', sha256: 'a'.repeat(64), sha512: 'a'.repeat(128) }] }),
    'spec.disks[0]',
    'has both a sha256 and a sha512',
  ],
  [
    named({ disks: [{ image: 'https://example.org/disk.img', sha256: 'a'.repeat(63) }] }),
    'spec.disks[0].sha256',
    'must be the 64 hexadecimal digits of a SHA-256',
  ],
  [
    named({ disks: [{ image: 'https://example.org/disk.img', sha512: 'http://example.org/SHA512SUMS' }] }),
    'spec.disks[0].sha512',
    'or the https URL of a list that has them',
  ],
  [named({ disks: [{ image: `${path}\0` }] }), 'spec.disks[0].image', 'must not contain a NUL character'],
  [named({ disks: [{ sizeMiB: 0 }] }), 'spec.disks[0].sizeMiB', 'must be a whole number'],
  [
    named({ disks: Array.from({ length: 65 }, () => ({ sizeMiB: 1 })) }),
    'spec.disks',
    'spec.disks must have at most 64 entries',
  ],
  [named({ cdroms: [{ image: 'a.iso' }] }), 'spec.cdroms[0].image', 'must be an absolute path'],
  [named({ floppies: [{ image: path, sizeMiB: 1 }] }), 'spec.floppies[0].sizeMiB', 'is not a known setting'],
  [named({ boot: [] }), 'spec.boot', 'spec.boot must be an object, and is []'],
  [named({ boot: { initrd: path } }), 'spec.boot', 'spec.boot has an initrd or a commandLine without a kernel'],
  [named({ boot: { commandLine: 'quiet' } }), 'spec.boot', 'has an initrd or a commandLine without a kernel'],
  [named({ boot: { kernel: path, firmware: path } }), 'spec.boot', 'has both a kernel and a firmware'],
  [
    named({ boot: { firmware: 'efi' } }),
    'spec.boot.firmware',
    `must be "bios", "uefi" or an absolute path: use path.resolve(), and is 'efi'`,
  ],
  [named({ boot: { kernel: path, commandLine: 'a\0' } }), 'spec.boot.commandLine', 'must not contain a NUL character'],
  [named({ boot: { order: ['tape'] } }), 'spec.boot.order[0]', 'must be "disk", "cdrom" or "floppy"'],
  [named({ boot: { order: ['disk', 'disk', 'disk', 'disk'] } }), 'spec.boot.order', 'must have at most 3 entries'],
  [named({ networkAdapters: {} }), 'spec.networkAdapters', 'must be an array'],
  [named({ networkAdapters: Array.from({ length: 9 }, () => ({})) }), 'spec.networkAdapters', 'at most 8 entries'],
  [named({ networkAdapters: [{ mac: 1 }] }), 'spec.networkAdapters[0].mac', 'is not a known setting'],
  [adapter({ outbound: 'yes' }), 'spec.networkAdapters[0].outbound', "must be true or false, and is 'yes'"],
  [adapter({ macAddress: '52:54:00:12:34' }), 'spec.networkAdapters[0].macAddress', 'must be six bytes in hexadecimal'],
  [adapter({ macAddress: '52:54:00:12:34:5g' }), 'spec.networkAdapters[0].macAddress', 'must be six bytes'],
  [adapter({ macAddress: '52:54:00:12:34:56,id=x' }), 'spec.networkAdapters[0].macAddress', 'must be six bytes'],
  [
    adapter({ macAddress: '33:33:00:00:00:01' }),
    'spec.networkAdapters[0].macAddress',
    'must be the address of one adapter',
  ],
  [adapter({ macAddress: '00:00:00:00:00:00' }), 'spec.networkAdapters[0].macAddress', 'the address of one adapter'],
  [
    adapter({ network: 'lan' }),
    'spec.networkAdapters[0].network',
    'must be "user", { private: NAME }, { bridge: NAME } or { hostNetwork: NAME }',
  ],
  [adapter({ network: null }), 'spec.networkAdapters[0].network', 'must be "user"'],
  [adapter({ network: { bridge: '..' } }), 'spec.networkAdapters[0].network.bridge', 'must be the name of a bridge'],
  [adapter({ network: { bridge: 'br0,x' } }), 'spec.networkAdapters[0].network.bridge', 'must be the name of a bridge'],
  [
    adapter({ network: { bridge: 'br0', private: 'lab' } }),
    'spec.networkAdapters[0].network.private',
    'is not a known setting',
  ],
  [adapter({ network: { private: ' ' } }), 'spec.networkAdapters[0].network.private', 'must not be empty'],
  [
    adapter({ network: { private: 'x'.repeat(65) } }),
    'spec.networkAdapters[0].network.private',
    'at most 64 characters',
  ],
  [
    adapter({ network: { private: 'lab' }, outbound: true }),
    'spec.networkAdapters[0].outbound',
    'can be true with network: "user" only',
  ],
  [
    adapter({ network: { private: 'lab' }, portForwards: [{ guestPort: 22 }] }),
    'spec.networkAdapters[0].portForwards',
    'must be empty unless network is "user"',
  ],
  [adapter({ portForwards: [{}] }), 'spec.networkAdapters[0].portForwards[0].guestPort', 'is missing'],
  [forward({ guestPort: 0 }), 'spec.networkAdapters[0].portForwards[0].guestPort', 'a whole number from 1 to 65535'],
  [forward({ hostPort: 65_536 }), 'spec.networkAdapters[0].portForwards[0].hostPort', 'from 1 to 65535, and is 65536'],
  [forward({ hostPort: '80-:22' }), 'spec.networkAdapters[0].portForwards[0].hostPort', 'must be a number'],
  [forward({ protocol: 'sctp' }), 'spec.networkAdapters[0].portForwards[0].protocol', 'must be "tcp" or "udp"'],
  [
    forward({ hostAddress: 'localhost' }),
    'spec.networkAdapters[0].portForwards[0].hostAddress',
    'must be an IPv4 address',
  ],
  [forward({ hostAddress: '::1' }), 'spec.networkAdapters[0].portForwards[0].hostAddress', 'must be an IPv4 address'],
  [
    named({ networkAdapters: [{ macAddress: '52:54:00:00:00:0a' }, { macAddress: '52:54:00:00:00:0A' }] }),
    'spec.networkAdapters',
    'must not have the same macAddress twice',
  ],
  [
    named({
      networkAdapters: [
        { portForwards: [{ guestPort: 22, hostPort: 2222 }] },
        { portForwards: [{ guestPort: 80, hostPort: 2222, protocol: 'tcp', hostAddress: '127.0.0.1' }] },
      ],
    }),
    'spec.networkAdapters',
    'must not have the same hostPort twice',
  ],
])('%o is wrong at %s', ([spec, where, reason]) => {
  const found = wrong(spec)
  expect(found.path).toBe(where)
  expect(found.reason).toContain(reason)
})

test('a complete spec is right, and a copy of what was given', () => {
  const spec: VmSpec = {
    name: 'Wörkstation 1 🚀',
    description: '',
    cpus: 4,
    memoryMiB: 1024,
    disks: [{ image: path }, { sizeMiB: 10 }, { image: path, sizeMiB: 10 }],
    cdroms: [{ image: path }, {}],
    floppies: [],
    boot: { kernel: path, initrd: path, commandLine: 'console=ttyS0', order: ['cdrom', 'disk'] },
    networkAdapters: [
      {},
      { network: 'user' },
      { network: { private: 'lab 1' }, outbound: false, portForwards: [] },
      {
        macAddress: '52:54:00:12:34:ab',
        outbound: true,
        portForwards: [
          { guestPort: 22 },
          { guestPort: 53, hostPort: 5353, protocol: 'udp', hostAddress: '0.0.0.0' },
          { guestPort: 53, hostPort: 5353, protocol: 'tcp' },
        ],
      },
    ],
  }
  const valid = validate(vmSpecSchema, spec, 'spec')._unsafeUnwrap()
  expect(valid).toEqual(spec)
  expect(valid).not.toBe(spec)
  expect(valid.disks).not.toBe(spec.disks)
})

test('a MAC address is told of in lower case', () => {
  const spec = adapter({ macAddress: '52:54:00:12:34:AB' })
  const { networkAdapters } = validate(vmSpecSchema, spec, 'spec')._unsafeUnwrap()
  expect(networkAdapters).toEqual([{ macAddress: '52:54:00:12:34:ab' }])
})

test('what is undefined is as good as absent', () => {
  const spec = { name: 'x', cpus: undefined, disks: undefined, boot: undefined }
  expect(validate(vmSpecSchema, spec, 'spec').isOk()).toBe(true)
})

test('a value that can not be shown is told of all the same', () => {
  const value = {
    [Symbol.for('nodejs.util.inspect.custom')]() {
      throw new Error('hostile')
    },
  }
  expect(wrong({ name: value }).reason).toBe("spec.name must be a string, and is a object that can't be shown")
  expect(wrong(named({ cpus: { a: 'x'.repeat(200), b: 'y'.repeat(200) } })).reason).toMatch(/\.\.\.$/)
})

test('a getter that throws what is no Error makes a wrong argument', () => {
  const spec = {
    get name(): string {
      // eslint-disable-next-line @typescript-eslint/only-throw-error
      throw 'a text'
    },
  }
  const error = validate(vmSpecSchema, spec, 'spec')._unsafeUnwrapErr()
  expect(error).toMatchObject({ path: 'spec', reason: "spec can't be read", cause: { message: "'a text'" } })
})

describe('guest', () => {
  const access = { way: 'ssh', user: 'ci', privateKeyFile: '/keys/id_ed25519' } as const
  const hostKey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBOPGpL3d0Q96yFQ71XcJq/4F1RvZTRpbMNK2q2viG6J'
  const guest = (value: object): object => named({ guest: value })

  test.each([
    [{ way: 'telnet' }, 'spec.guest.way', 'must be "agent", "ssh" or "none"'],
    [{}, 'spec.guest.way', 'is missing'],
    [{ way: 'agent', user: 'ci' }, 'spec.guest.user', 'is not a known setting'],
    [{ ...access, user: '-oProxyCommand=x' }, 'spec.guest.user', 'must be the name of a user'],
    [{ ...access, privateKeyFile: 'id_ed25519' }, 'spec.guest.privateKeyFile', 'must be an absolute path'],
    [{ ...access, host: 'ci@web-1' }, 'spec.guest.host', 'without a user and a port'],
    [{ ...access, port: 0 }, 'spec.guest.port', 'must be a whole number'],
    [{ ...access, hostKey: 'SHA256:nhzn+/U/dgs/RE5mDwSZvG6M+QRnHfOqT4+htsyRv+Q' }, 'spec.guest.hostKey', 'public key'],
  ])('%j is refused by %s', (value, path, reason) => {
    const error = wrong(guest(value))
    expect(error.path).toBe(path)
    expect(error.reason).toContain(reason)
  })

  test('a private key in place of its path is refused, and not shown', () => {
    const key = '-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n'
    const error = wrong(guest({ ...access, privateKeyFile: key }))
    expect(error.reason).toContain('must be the path of a file')
    expect(error.reason).not.toContain('BEGIN')
  })

  test('a host key is kept without its comment', () => {
    const spec = guest({ ...access, hostKey: `${hostKey} root@debian\n` })
    expect(validate(vmSpecSchema, spec, 'spec')._unsafeUnwrap().guest).toEqual({ ...access, hostKey })
  })
})
