import { readFileSync } from 'node:fs'
import { ProtocolError } from 'awaitvm'
import { expect, test } from 'vitest'
import { editedXml, withMetadata, type DomainEdit } from '../../../../src/drivers/libvirt/domain/edit-domain.js'
import { newDomainXml } from '../../../../src/drivers/libvirt/domain/new-domain.js'
import { isAbandonedDraft } from '../../../../src/driver/draft-name.js'
import { asEdited } from '../../../../src/drivers/libvirt/drafts.js'
import { readDomain } from '../../../../src/drivers/libvirt/domain/read-domain.js'

/** As libvirt 9.0 told it of a domain that was made with virsh. */
const recorded = readFileSync(new URL('recorded-domain.xml', import.meta.url), 'utf8')

const nothing: Omit<DomainEdit, 'metadata'> = {
  changes: {},
  newDisks: [],
  removedDisks: [],
  buses: new Map(),
  seed: undefined,
}

const edit = (text: string, changes: Partial<DomainEdit>): string => {
  const domain = readDomain(text)
  return editedXml(text, domain, { ...nothing, metadata: domain.metadata, ...changes })
}

/** The lines that only one of the two texts has. */
const difference = (before: string, after: string): { removed: string[]; added: string[] } => {
  const [old, now] = [before.split('\n'), after.split('\n')]
  const only = (lines: string[], others: string[]): string[] =>
    lines.filter((line) => !others.includes(line)).map((line) => line.trim())
  return { removed: only(old, now), added: only(now, old) }
}

test('the settings of a domain of another client are read', () => {
  const { uuid, config } = readDomain(recorded)
  expect(uuid).toBe('d529d2ca-50c8-4ccc-ba27-f615c22ae8b9')
  expect(config).toEqual({
    name: "web 'q' <é😀",
    description: 'Line 1\nLine 2\n',
    labels: { job: ' 4711 ' },
    cpus: 2,
    memoryMiB: 512,
    disks: [
      { id: 'vda', bus: 'virtio' },
      { id: 'disk-1234', bus: 'virtio' },
      { id: 'sda', bus: 'scsi' },
    ],
    cdroms: [],
    floppies: [{ image: '/x/f.img' }],
    boot: { firmware: 'uefi', order: ['disk', 'cdrom', 'floppy'] },
    architecture: 'x86_64',
    machine: 'q35',
    networkAdapters: [
      { macAddress: '52:54:00:2f:52:34', network: { hostNetwork: 'default' } },
      { macAddress: '52:54:00:91:6e:fb', network: 'user', outbound: true },
      { macAddress: '52:54:00:04:c8:6e', network: { bridge: 'br0' } },
    ],
  })
})

test.each([
  ['no domain', '<network><name>a</name><uuid>b</uuid></network>'],
  ['a domain without a name', '<domain><uuid>b</uuid></domain>'],
  ['a domain without a uuid', '<domain><name>b</name></domain>'],
])('%s is a ProtocolError', (_what, text) => {
  expect(() => readDomain(text)).toThrow(ProtocolError)
})

test('a domain with next to nothing is read', () => {
  const { config } = readDomain(
    '<domain><name>a</name><uuid>B</uuid><vcpu>many</vcpu><memory unit="pages">x</memory></domain>',
  )
  expect(config).toEqual({
    name: 'a',
    description: '',
    cpus: 1,
    memoryMiB: 0,
    disks: [],
    cdroms: [],
    floppies: [],
    boot: {},
    networkAdapters: [],
  })
})

test.each([
  ['2097152', 'KiB', 2048],
  ['2', 'GiB', 2048],
  ['1000000', 'KB', 954],
  ['1073741824', 'bytes', 1024],
])('%s %s of memory are %i MiB', (amount, unit, memoryMiB) => {
  const text = `<domain><name>a</name><uuid>b</uuid><memory unit='${unit}'>${amount}</memory></domain>`
  expect(readDomain(text).config.memoryMiB).toBe(memoryMiB)
})

test('an edit changes the lines that it is about, and no others', () => {
  const changes = { description: 'new', cpus: 3, memoryMiB: 1024 }
  const { removed, added } = difference(recorded, edit(recorded, { changes }))
  expect(removed).toEqual([
    '<description>Line 1',
    'Line 2',
    '</description>',
    '<awaitvm:vm xmlns:awaitvm="urn:awaitvm:vm:1" uuid="x">',
    '<awaitvm:label name="job"> 4711 </awaitvm:label>',
    "<memory unit='KiB'>524288</memory>",
    "<currentMemory unit='KiB'>524288</currentMemory>",
    "<vcpu placement='static' current='2'>4</vcpu>",
  ])
  expect(added).toEqual([
    '<description>new</description>',
    "<awaitvm:vm xmlns:awaitvm='urn:awaitvm:vm:1' uuid='x'>",
    "<awaitvm:label name='job'> 4711 </awaitvm:label>",
    "<memory unit='MiB'>1024</memory>",
    "<currentMemory unit='MiB'>1024</currentMemory>",
    "<vcpu placement='static'>3</vcpu>",
  ])
})

test('disks are added, moved to another bus and removed', () => {
  const text = edit(recorded, {
    newDisks: [{ id: 'disk-new', path: '/pool/a & b.qcow2', format: 'qcow2', bus: 'scsi' }],
    removedDisks: ['disk-1234'],
    buses: new Map([['vda', 'sata']]),
  })
  expect(readDomain(text).config.disks).toEqual([
    { id: 'vda', bus: 'sata' },
    { id: 'sda', bus: 'scsi' },
    { id: 'disk-new', bus: 'scsi' },
  ])
  expect(text).toContain("<source file='/pool/a &amp; b.qcow2'/>")
  expect(text.match(/model='virtio-scsi'/g)).toHaveLength(1)
})

test('media are changed in their drives, and others made or removed', () => {
  const changes = { cdroms: [{ image: '/a.iso' }, { image: '/b.iso', bus: 'scsi' as const }], floppies: [] }
  const text = edit(recorded, { changes })
  expect(readDomain(text).config).toMatchObject({
    cdroms: [
      { image: '/a.iso', bus: 'sata' },
      { image: '/b.iso', bus: 'scsi' },
    ],
    floppies: [],
  })
  const empty = edit(text, { changes: { cdroms: [{}, { image: '/b.iso' }], floppies: [{}] } })
  expect(readDomain(empty).config).toMatchObject({
    cdroms: [{ bus: 'sata' }, { image: '/b.iso', bus: 'scsi' }],
    floppies: [{}],
  })
  const other = edit(empty, { changes: { cdroms: [{ image: '/c.iso' }] } })
  expect(readDomain(other).config.cdroms).toEqual([{ image: '/c.iso', bus: 'sata' }])
  // The drive with the seed is not one of them.
  expect(readDomain(other).drives.find(({ id }) => id === 'cidata')?.path).toBe('/x/b.iso')
})

test('adapters keep their addresses and what awaitvm does not model, and those of other kinds stay', () => {
  const tuned = recorded.replace(
    "<source network='default'/>",
    "<source network='default'/><bandwidth><inbound average='1000'/></bandwidth>",
  )
  const direct = "<interface type='direct'><source dev='eth0' mode='bridge'/></interface>"
  const text = tuned.replace('  </devices>', `    ${direct}\n  </devices>`)
  const networkAdapters = [{ network: { bridge: 'br1' } }, { macAddress: '52:54:00:00:00:01', outbound: true }]
  const after = edit(text, { changes: { networkAdapters } })
  expect(readDomain(after).config.networkAdapters).toEqual([
    { macAddress: '52:54:00:2f:52:34', network: { bridge: 'br1' } },
    { macAddress: '52:54:00:00:00:01', network: 'user', outbound: true },
  ])
  expect(after).toContain("<bandwidth><inbound average='1000'/></bandwidth>")
  expect(after).toContain(direct)
})

test('what is booted is changed, with the orders of single devices', () => {
  const text = recorded.replace("<boot dev='hd'/>", '').replace('<readonly/>', "<readonly/><boot order='1'/>")
  const after = edit(text, { changes: { boot: { kernel: '/vmlinuz', commandLine: 'a="<b>" \'c\'' } } })
  expect(readDomain(after).config.boot).toEqual({ kernel: '/vmlinuz', commandLine: 'a="<b>" \'c\'' })
  expect(after).not.toContain('<boot ')
  const again = edit(after, { changes: { boot: { firmware: 'uefi', order: ['cdrom'] } } })
  expect(readDomain(again).config.boot).toEqual({ firmware: 'uefi', order: ['cdrom'] })
})

test('a drive is removed together with the order that it has', () => {
  const text = recorded.replace("<boot dev='hd'/>", '').replace('<readonly/>', "<readonly/><boot order='1'/>")
  const after = edit(text, { changes: { boot: { order: ['disk'] } }, seed: false })
  const { config, drives } = readDomain(after)
  expect(config.boot).toEqual({ firmware: 'uefi', order: ['disk'] })
  expect(drives.map(({ path }) => path)).not.toContain('/x/b.iso')
  expect(edit(edit(text, { seed: false }), { changes: { boot: { order: ['disk'] } } })).toBe(after)
})

test('the metadata of others stays, also a megabyte of it', () => {
  const others = `<o:x xmlns:o="http://o/"><o:y>${'m'.repeat(2 ** 20)}</o:y></o:x>`
  const plain = `<domain><name>a</name><uuid>b</uuid><metadata>${others}</metadata></domain>`
  const domain = readDomain(plain)
  const labels = { 'é/x': '"<\'>' }
  const text = withMetadata(plain, domain, { ...domain.metadata, labels, createdAt: new Date(1000) })
  expect(text).toContain(others)
  expect(readDomain(text).config).toMatchObject({ labels, createdAt: new Date(1000) })
  const bare = '<domain><name>a</name><uuid>b</uuid></domain>'
  const none = withMetadata(bare, readDomain(bare), { disks: new Map(), labels })
  expect(readDomain(none).config.labels).toEqual(labels)
})

test('the files of an unfinished edit are kept with a domain, those of an earlier one too', () => {
  const first = asEdited(recorded, readDomain(recorded), ['new & old.qcow2'])
  const second = asEdited(first, readDomain(first), ['seed.iso'])
  const { metadata, config } = readDomain(second)
  expect(metadata.files).toEqual(['new & old.qcow2', 'seed.iso'])
  expect(isAbandonedDraft(metadata.editor ?? '')).toBe(false)
  expect(config).toEqual(readDomain(recorded).config)
})

test('a copy of our metadata under another prefix is ours, and one of another namespace is not', () => {
  const withElement = (element: string): string =>
    `<domain><name>a</name><uuid>b</uuid><metadata>${element}</metadata></domain>`
  const label = readDomain(withElement(`<x:vm xmlns:x='urn:awaitvm:vm:1'><x:label name='a'>1</x:label></x:vm>`))
  expect(label.config.labels).toEqual({ a: '1' })
  const bare = readDomain(withElement(`<vm xmlns='urn:awaitvm:vm:1'><label name='a'>1</label></vm>`))
  expect(bare.config.labels).toEqual({ a: '1' })
  const other = readDomain(
    withElement(`<awaitvm:vm xmlns:awaitvm='urn:x'><awaitvm:label name='a'>1</awaitvm:label></awaitvm:vm>`),
  )
  expect(other.config.labels).toBeUndefined()
})

test('a new domain has the settings of its spec, and comes back with them', () => {
  const spec = {
    name: `a & 'b' "c" <é😀>`,
    description: '  two\n lines ',
    labels: { a: 'x' },
    cpus: 3,
    memoryMiB: 100,
    cdroms: [{ image: '/a.iso' }, {}],
    floppies: [{ image: '/f.img' }, {}],
    boot: { firmware: 'uefi', order: ['cdrom' as const, 'disk' as const] },
    networkAdapters: [{ macAddress: '52:54:00:00:00:01', network: { hostNetwork: 'default' } }],
  }
  const uuid = '6695eb01-f6a4-8304-79aa-97f2502e193f'
  const host = { domainType: 'qemu', architecture: 'x86_64', accelerator: 'tcg' } as const
  const disk = { id: 'disk-1', path: '/pool/1.qcow2', format: 'qcow2', bus: 'virtio' } as const
  const seed = { hostname: 'h', instanceId: 'i' }
  const metadata = {
    uuid,
    labels: spec.labels,
    createdAt: new Date(0),
    disks: new Map([['disk-1', { sizeMiB: 7 }]]),
    seed,
  }
  const text = newDomainXml({ uuid, spec, host, disks: [disk], seed: '/pool/seed.iso', metadata })
  expect(readDomain(text).config).toEqual({
    ...spec,
    cdroms: [{ image: '/a.iso', bus: 'sata' }, { bus: 'sata' }],
    disks: [{ id: 'disk-1', sizeMiB: 7, bus: 'virtio' }],
    architecture: 'x86_64',
    machine: 'q35',
    cloudInit: seed,
    createdAt: new Date(0),
  })
  expect(text).toMatchSnapshot()
})
