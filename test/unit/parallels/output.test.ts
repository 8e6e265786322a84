import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { licenseOf, serviceInfoOf } from '../../../src/drivers/parallels/host-info.js'
import { jsonIn } from '../../../src/drivers/parallels/json-output.js'
import { MonitorLines } from '../../../src/drivers/parallels/monitor-lines.js'
import { progressIn } from '../../../src/drivers/parallels/progress-lines.js'
import { quoteWords } from '../../../src/ssh/quote.js'
import {
  hostTime,
  snapshotDetails,
  snapshotIdsOfTable,
  snapshotsOfJson,
} from '../../../src/drivers/parallels/snapshot-output.js'
import { vmInfosOf } from '../../../src/drivers/parallels/vm-info.js'
import { snapshotTree } from '../../../src/model/snapshot-tree.js'

const id = '9fd1b2c4-0000-4000-8000-00000000000a'

/** As Parallels Desktop 26 prints it, shortened. */
const desktopInfo = `[
	{
		"ID": "9FD1B2C4-0000-4000-8000-00000000000A",
		"Name": "Ubuntu \\"24.04\\"",
		"Description": "",
		"Type": "VM",
		"State": "running",
		"OS": "ubuntu",
		"Template": "no",
		"Uptime": "1384",
		"Home path": "\\/Users\\/me\\/Parallels\\/Ubuntu.pvm\\/config.pvs",
		"Home": "\\/Users\\/me\\/Parallels\\/Ubuntu.pvm\\/",
		"GuestTools": { "state": "installed", "version": "26.3.0-57392" },
		"Startup and Shutdown": { "Autostart": "off", "Autostart delay": 0 },
		"Smart Guard": { "enabled": false },
		"Boot order": "hdd0 cdrom0 usb ",
		"Hardware": {
			"cpu": { "cpus": 10, "VT-x": true, "hotplug": false, "accl": "high", "mode": "32" },
			"memory": { "size": "16384Mb", "hotplug": false },
			"video": { "adapter-type": "virtio", "size": "64Mb" },
			"memory_quota": { "auto": "yes" },
			"hdd0": { "enabled": true, "port": "sata:0", "image": "\\/x\\/harddisk.hdd", "type": "expanded", "size": "262144Mb" },
			"hdd10": { "enabled": true, "size": "30Mb" },
			"hdd2": { "enabled": true, "size": "20Mb" },
			"cdrom0": { "enabled": true, "port": "sata:1", "image": "\\/x\\/tools.iso", "state": "disconnected" },
			"net0": { "enabled": true, "type": "shared", "mac": "001C42F95777", "card": "virtio" },
			"sound0": { "enabled": true }
		},
		"Network": { "Conditioned": "off", "ipAddresses": [{ "type": "ipv4", "ip": "10.211.55.3" }] }
	}
]
`

test('an entry of the list is parsed, with the devices in the order of their numbers', () => {
  const [info] = vmInfosOf(jsonIn(desktopInfo, 'array'))
  expect(info).toMatchObject({
    home: '/Users/me/Parallels/Ubuntu.pvm',
    isWindows: false,
    tools: 'installed',
    addresses: [{ interfaceName: 'net0', address: '10.211.55.3', family: 'ipv4', macAddress: '00:1c:42:f9:57:77' }],
  })
  expect(info?.record).toEqual({
    id,
    state: 'running',
    native: { driver: 'parallels', isTemplate: false },
    config: {
      name: 'Ubuntu "24.04"',
      description: '',
      cpus: 10,
      memoryMiB: 16384,
      disks: [
        { id: 'harddisk.hdd', sizeMiB: 262144 },
        { id: 'hdd2', sizeMiB: 20 },
        { id: 'hdd10', sizeMiB: 30 },
      ],
      cdroms: [{ image: '/x/tools.iso' }],
      floppies: [],
      boot: { order: ['disk', 'cdrom'] },
    },
  })
})

test('disks whose images have the same name have the names of their devices as ids', () => {
  const image = (folder: string): string => `"image": "\\/${folder}\\/harddisk.hdd", `
  const text = desktopInfo
    .replace('"hdd2": { ', `"hdd2": { ${image('other')}`)
    .replace('"hdd10": { ', `"hdd10": { "image": "/z/b.hdd", `)
  const [info] = vmInfosOf(jsonIn(text, 'array'))
  expect(info?.record.config.disks.map(({ id }) => id)).toEqual(['hdd0', 'hdd2', 'b.hdd'])
})

test('JSON is read in spite of text around it and control characters in it', () => {
  const prefixes = ['Operation progress ... 5%', 'This feature is deprecated.\n', '\u001b', '']
  for (const prefix of prefixes) {
    const noisy = `${prefix}${desktopInfo.replace('ubuntu', 'ub\u0001un\u001ftu\u0000')}\ntrailing`
    expect(vmInfosOf(jsonIn(noisy, 'array'))).toHaveLength(1)
  }
  expect(jsonIn(desktopInfo.slice(0, 300), 'array')).toBeUndefined()
  expect(jsonIn('', 'array')).toBeUndefined()
  expect(jsonIn(']x[', 'array')).toBeUndefined()
  expect(jsonIn('nothing of the kind', 'object')).toBeUndefined()
})

test('a damaged VM is listed, and one without an id does not hide others', () => {
  const entries = [
    { ID: `{${id}}`, Name: 'packed', State: 'invalid', Home: '/x/y.pvmp' },
    { Name: 'no id', State: 'stopped' },
    { ID: '-rf', Name: 'an option', State: 'stopped' },
    'text',
    null,
    { ID: `{${id.replace('a', 'b')}}`, Name: '__proto__', State: 'hasOwnProperty', Hardware: { cpu: 'x', memory: [] } },
  ]
  expect(vmInfosOf(entries).map(({ record }) => [record.config.name, record.state, record.config.cpus])).toEqual([
    ['packed', 'unknown', 0],
    ['__proto__', 'unknown', 0],
  ])
  const container = {
    ID: `{${id}}`,
    Name: '101',
    Type: 'CT',
    State: 'running',
    Hardware: { cpu: { cpus: 'unlimited' } },
  }
  expect(vmInfosOf([container])).toEqual([])
  const macVm = {
    ID: `{${id}}`,
    Name: 'macOS',
    State: 'running',
    OS: 'macosx',
    Template: 'no',
    GuestTools: { state: 'installed' },
    Network: {
      ipAddresses: [
        { type: 'ipv4', ip: '169.254.10.20' },
        { type: 'ipv6', ip: 'fe80::1' },
      ],
    },
  }
  expect(vmInfosOf([macVm])).toMatchObject([{ tools: 'installed', record: { config: { name: 'macOS', disks: [] } } }])
  for (const nonsense of [undefined, null, {}, 'x', 7]) expect(vmInfosOf(nonsense)).toEqual([])
})

test('snapshots of Parallels Desktop', () => {
  const output = {
    '{64D06B3E-0000-4000-8000-000000000001}': {
      name: 'Clean',
      date: '2021-07-15 12:15:03',
      state: 'poweroff',
      current: false,
      parent: '',
    },
    '{64d06b3e-0000-4000-8000-000000000002}': {
      name: 'Later',
      date: '2021-07-16 12:15:03',
      state: 'poweron',
      current: true,
      parent: '{64d06b3e-0000-4000-8000-000000000001}',
    },
  }
  const listed = snapshotsOfJson(output, 120).map((snapshot) => ({ ...snapshot, description: '' }))
  expect(listed[0]?.createdAt).toEqual(new Date('2021-07-15T10:15:03Z'))
  expect(snapshotTree(listed)).toMatchObject([
    {
      id: '64d06b3e-0000-4000-8000-000000000001',
      state: 'stopped',
      parentId: undefined,
      isCurrent: false,
      children: [{ name: 'Later', state: 'running', isCurrent: true, children: [] }],
    },
  ])
  expect(snapshotsOfJson(undefined, 0)).toEqual([])
  expect(hostTime('nonsense', 0)).toEqual(new Date(0))
})

test('snapshots of Virtuozzo', () => {
  const table = `PARENT_SNAPSHOT_ID                      SNAPSHOT_ID
                                        {64d06b3e-0000-4000-8000-000000000001}
{64d06b3e-0000-4000-8000-000000000001} *{0D1A2B3C-0000-4000-8000-000000000002}
`
  expect(snapshotIdsOfTable(table)).toEqual([
    { id: '64d06b3e-0000-4000-8000-000000000001', parentId: undefined, isCurrent: false },
    {
      id: '0d1a2b3c-0000-4000-8000-000000000002',
      parentId: '64d06b3e-0000-4000-8000-000000000001',
      isCurrent: true,
    },
  ])
  const details = `ID: {64d06b3e-0000-4000-8000-000000000001}
Name: Before: the update
Date: 2013-05-13 13:47:22
Current: yes
State: suspend
Description: <![CDATA[two
lines]]>
`
  expect(snapshotDetails(details, 0)).toEqual({
    name: 'Before: the update',
    createdAt: new Date('2013-05-13T13:47:22Z'),
    state: 'suspended',
    description: 'two\nlines',
  })
  expect(snapshotIdsOfTable('')).toEqual([])
})

test('events of both flavours are parsed from output in pieces of any size', () => {
  const desktop =
    'not an event\n' +
    `{"Timestamp":"2026-01-01 00:00:00","VM ID":"{${id}}","Event name":"vm_state_changed","Additional info":{"Vm state name":"running"}}\r\n` +
    `{"VM ID":"${id}","Event name":"vm_tools_state_changed"}\n{broken\n` +
    `{"VM ID":"${id}","Event name":"vm_deleted","Additional info":{}}\n`
  const virtuozzo = `{
	"event_type": "VM_CONFIG_CHANGED",
	"vm_info": {
		"ID": "{${id}}",
		"State": "stopped"
	}
}
{
	"event_type": "100019",
	"vm_info": {
		"ID": "{${id}}"
	}
}
`
  for (const size of [1, 7, 64, 10_000]) {
    const read = (output: string) => {
      const lines = new MonitorLines()
      const pieces = output.match(new RegExp(`[\\s\\S]{1,${size}}`, 'g')) ?? []
      return pieces.flatMap((piece) => lines.push(piece)).map(({ kind, state, vmId }) => [vmId, kind, state])
    }
    expect(read(desktop)).toEqual([
      [id, 'state', 'running'],
      [id, 'other', undefined],
      [id, 'list', undefined],
    ])
    expect(read(virtuozzo)).toEqual([
      [id, 'config', 'stopped'],
      [id, 'other', undefined],
    ])
  }
  const endless = new MonitorLines()
  for (let count = 0; count < 100; count += 1) expect(endless.push('{'.repeat(10_000))).toEqual([])
  expect(endless.push(`\n{"VM ID":"${id}","Event name":"vm_added"}\n`)).toHaveLength(1)
})

test('progress is read from any line that has it', () => {
  expect(progressIn('\rCopying hard disk 1 ... 5 %\rCopying hard disk 1 ... 45 %', 1)).toEqual({
    percent: 45,
    phase: 'copying hard disk 1',
  })
  expect(progressIn('Operation progress ... 12%', 3)).toMatchObject({ percent: 12 })
  expect(progressIn('Operation progress ... 100%', 3)).toMatchObject({ percent: 99 })
  for (const nothing of ['', 'Clone the x VM to VM 100% ...', '\u0000\u0001', 'x'.repeat(100_000)]) {
    expect(progressIn(nothing, 1)).toBeUndefined()
  }
})

test('the progress over any number of disks goes from 0 to the end once', () => {
  const of = (disk: number, percent: number, disks: number): number | undefined =>
    progressIn(`Copying hard disk ${String(disk)} ... ${String(percent)} %`, disks)?.percent
  expect([of(1, 0, 4), of(1, 100, 4), of(2, 0, 4), of(3, 50, 4), of(4, 100, 4)]).toEqual([0, 25, 25, 62.5, 99])
  // A disk beyond the expected number counts as the last.
  expect(of(2, 50, 1)).toBe(75)
})

test('information about the host', () => {
  expect(serviceInfoOf({ Hostname: 'mac.local', Version: 'Desktop 26.3.0-57392', extra: 1 })).toEqual({
    hostName: 'mac.local',
    version: 'Desktop 26.3.0-57392',
  })
  expect(serviceInfoOf(null)).toEqual({ hostName: undefined, version: '' })
  expect(
    licenseOf({
      status: 'ACTIVE',
      serial: '*****',
      edition: 'pro',
      expiration: '2027-01-01 00:00:00',
      is_trial: false,
    }),
  ).toEqual({ status: 'active', edition: 'pro', expires: '2027-01-01 00:00:00', isTrial: false })
  expect(licenseOf('none')).toBeUndefined()
})

test('a shell splits quoted words as they were', () => {
  const words = ['', ' ', "it's", "'''", '"', '$HOME', '`id`', '\\', 'a\nb', '-n', '*', '!x', '虚拟机']
  const output = execFileSync('sh', ['-c', `printf '%s\\0' ${quoteWords(words)}`])
  expect(output.toString().split('\0').slice(0, -1)).toEqual(words)
})
