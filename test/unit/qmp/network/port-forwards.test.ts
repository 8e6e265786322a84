import { expect, test } from 'vitest'
import { openForwardsIn } from '../../../../src/drivers/qmp/network/port-forwards.js'

const heading = '  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ'
/** Output of QEMU 7.2. */
const said = [
  'Hub -1 (net0):',
  heading,
  '  TCP[HOST_FORWARD]  14       127.0.0.1    80       10.0.2.15    22     0     0',
  '  TCP[ESTABLISHED]   20       127.0.0.1    80       10.0.2.15    22     0     0',
  '  UDP[HOST_FORWARD]  12       127.0.0.1 49381       10.0.2.15    53     0     0',
  '  UDP[236 sec]       15       10.0.2.15 49381     192.168.0.1    53     0     0',
  '  ICMP[57 sec]       16       10.0.2.15     9     192.168.0.1     -     0     0',
  'Hub 3 (net1):',
  heading,
  '  TCP[HOST_FORWARD]  13               * 35767       10.0.3.15    22     0     0',
  '',
].join('\r\n')

test('the forwards are found, each with its network', () => {
  expect(openForwardsIn(said)).toEqual([
    { network: 'net0', protocol: 'tcp', hostAddress: '127.0.0.1', hostPort: 80, guestPort: 22 },
    { network: 'net0', protocol: 'udp', hostAddress: '127.0.0.1', hostPort: 49_381, guestPort: 53 },
    { network: 'net1', protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: 35_767, guestPort: 22 },
  ])
})

test.for([
  ['nothing', ''],
  ['an error', "unknown command: 'info usernet'\r\n"],
  ['a forward of no network', said.slice(said.indexOf(heading), said.indexOf('Hub 3'))],
  ['a line that is cut off', 'Hub -1 (net0):\r\n  TCP[HOST_FORWARD]  14       127.0.0.1    80       10.0'],
  ['an invalid port', 'Hub -1 (net0):\r\n  TCP[HOST_FORWARD]  14  127.0.0.1  805555  10.0.2.15  22  0  0'],
])('in %s there is no forward', ([, text]) => {
  expect(openForwardsIn(text!)).toEqual([])
})
