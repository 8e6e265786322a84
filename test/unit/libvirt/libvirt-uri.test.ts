import { InvalidArgumentError } from 'awaitvm'
import { expect, test } from 'vitest'
import { addressOf } from '../../../src/drivers/libvirt/libvirt-uri.js'

const parse = (uri: string): ReturnType<typeof addressOf> => addressOf(new URL(uri))

test.each([
  ['qemu:///system', { transport: 'unix', name: 'qemu:///system', hypervisor: 'qemu', isSession: false }],
  ['qemu:///session', { transport: 'unix', name: 'qemu:///session', isSession: true }],
  ['qemu+unix:///system?socket=/tmp/s', { transport: 'unix', options: { socket: '/tmp/s' } }],
  ['test:///default', { transport: 'unix', name: 'test:///default', hypervisor: 'test' }],
  ['test:////etc/node.xml', { name: 'test:////etc/node.xml' }],
  ['qemu://host/system', { transport: 'tls', name: 'qemu:///system', remote: { host: 'host' } }],
  ['qemu+tls://[::1]:99/system?pkipath=/p&no_verify=1', { transport: 'tls', remote: { host: '::1', port: 99 } }],
  ['qemu+tcp://host/system?name=qemu:///session', { transport: 'tcp', name: 'qemu:///session' }],
  [
    'qemu+ssh://me@host:2222/system?keyfile=/k&proxy=netcat&no_verify=1&no_tty=1&mode=direct&netcat=nc',
    { transport: 'ssh', remote: { host: 'host', port: 2222, user: 'me', password: undefined } },
  ],
  ['qemu+tls://tester%40realm:p%40ss@host/system', { remote: { user: 'tester@realm', password: 'p@ss' } }],
  ['qemu+ext:///system?command=/bin/x', { transport: 'ext', options: { command: '/bin/x' } }],
])('%s', (uri, expected) => {
  expect(parse(uri)).toMatchObject(expected)
})

test.each([
  ['qemu+tcp:///system', 'needs a host'],
  ['qemu+unix://host/system', 'has a host'],
  ['qemu:///embed', 'must be /system or /session'],
  ['qemu:///', 'must be /system or /session'],
  ['test:///other', 'must be /default'],
  ['qemu:///system#x', 'has a "#"'],
  ['qemu:///system?pkipath=/p', 'not known'],
  ['qemu+tls://host/system?tls_priority=NORMAL', 'not known'],
  ['qemu+ssh://host/system?known_hosts=/k', 'not known'],
  ['qemu:///system?socket=/a&socket=/b', 'more than once'],
  ['qemu:///system?mode=fast', 'must be auto or legacy or direct'],
  ['qemu:///system?socket=', 'must not be empty'],
  ['qemu+ssh://me:secret@host/system', 'has a password'],
  ['qemu+ssh://-oProxyCommand=x/system', 'begins with a dash'],
  ['qemu+ssh://-x@host/system', 'begins with a dash'],
  ['qemu+ssh://me%@host/system', 'its user has a "%"'],
  ['qemu+tls://me:se%cret@host/system', 'its password has a "%"'],
  ['qemu+ssh://ho%st/system', 'its host has a "%"'],
  ['qemu:///system%', 'its path has a "%"'],
  ['qemu+ext:///system', 'needs the option "command"'],
])('%s is refused', (uri, reason) => {
  expect(() => parse(uri)).toThrow(InvalidArgumentError)
  expect(() => parse(uri)).toThrow(reason)
})
