import { ProtocolError } from 'awaitvm'
import { expect, test } from 'vitest'
import { configOf } from '../../../src/drivers/libvirt/domain-xml.js'
import { change, newDomain, requireWritable } from '../../../src/drivers/libvirt/domain-changes.js'
import { childOf, parseXml, textOf, xmlOf } from '../../../src/drivers/libvirt/xml.js'

test.each([
  ['an entity of its own', '<!DOCTYPE a [<!ENTITY x "yy">]><a>&x;</a>'],
  ['a file', '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'],
  ['a billion laughs', `<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "${'&a;'.repeat(1000)}">]><a>&b;</a>`],
  ['an entity that is not known', '<a>&x;</a>'],
  ['a tag that is not closed', '<a><b></a>'],
  ['nothing', ''],
  ['text', 'no xml'],
  ['a million elements in one another', `${'<a>'.repeat(1_000_000)}${'</a>'.repeat(1_000_000)}`],
])('XML with %s is a ProtocolError', (_what, xml) => {
  expect(() => parseXml(xml)).toThrow(ProtocolError)
})

const domain = `<domain type='kvm' id='3' xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>it's "web" &lt;1&gt;
é</name>
  <metadata>
    <other:x xmlns:other='urn:other' deep='yes'><other:y>${'m'.repeat(2 ** 20)}</other:y></other:x>
  </metadata>
  <memory unit='KiB'>2097152</memory>
  <vcpu placement='static' current='1'>4</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><boot dev='cdrom'/><boot dev='hd'/></os>
  <devices>
    <disk type='file' device='disk'><source file='/a.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><source file='/a.iso'/><target dev='sda' bus='sata'/></disk>
    <disk type='file' device='cdrom'><target dev='sdb' bus='sata'/></disk>
    <disk type='file' device='floppy'><source file='/a.img'/><target dev='fda' bus='fdc'/></disk>
  </devices>
  <q:commandline><q:arg value='-x'/></q:commandline>
</domain>`

test('the settings of a domain are read', () => {
  expect(configOf(parseXml(domain))).toEqual({
    name: 'it\'s "web" <1>\né',
    description: '',
    cpus: 4,
    memoryMiB: 2048,
    disks: [{ id: 'vda', bus: 'virtio' }],
    cdroms: [{ image: '/a.iso', bus: 'sata' }],
    floppies: [{ image: '/a.img' }],
    boot: { order: ['cdrom', 'disk'] },
    architecture: 'x86_64',
    machine: 'q35',
  })
})

test('a change leaves what awaitvm does not model as it is', () => {
  const element = parseXml(domain)
  change(element, { description: 'a\n<b>', labels: { job: '1', 'é/x': '"' }, cpus: 2, memoryMiB: 64 })
  const again = parseXml(xmlOf(element))
  expect(configOf(again)).toMatchObject({
    description: 'a\n<b>',
    labels: { job: '1', 'é/x': '"' },
    cpus: 2,
    memoryMiB: 64,
  })
  expect(textOf(childOf(again, 'metadata', 'other:x', 'other:y')).length).toBe(2 ** 20)
  expect(xmlOf(again)).toContain('<q:commandline><q:arg value="-x"/></q:commandline>')
  expect(textOf(childOf(again, 'currentMemory'))).toBe('64')
})

test('a new domain has the settings, and comes back with them', () => {
  const spec = { name: 'a & b', description: '  two\n lines ', labels: { a: 'x\ty' }, cpus: 3, memoryMiB: 100 }
  const id = '6695eb01-f6a4-8304-79aa-97f2502e193f'
  const config = configOf(parseXml(xmlOf(newDomain(spec, { id, type: 'test' }))))
  expect(config).toMatchObject(spec)
  expect(config.createdAt).toBeInstanceOf(Date)
})

test.each([
  [{ name: 'a/b' }, 'spec.name'],
  [{ name: 'a\nb' }, 'spec.name'],
  [{ description: 'a\rb' }, 'spec.description'],
  [{ description: 'a\u0000b' }, 'spec.description'],
  [{ description: 'a\uD800b' }, 'spec.description'],
  [{ description: 'a\uFFFFb' }, 'spec.description'],
  [{ labels: { x: '\u0001' } }, 'spec.labels.x'],
])('%j is refused: libvirt would not keep it', (texts, path) => {
  expect(() => {
    requireWritable(texts, 'spec')
  }).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', path }))
  expect(() => {
    requireWritable({ name: 'é😀 "x"', description: 'a\n\tb' }, 'spec')
  }).not.toThrow()
})
