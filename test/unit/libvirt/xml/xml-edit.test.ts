import fc from 'fast-check'
import { expect, test } from 'vitest'
import { XmlEdit } from '../../../../src/drivers/libvirt/xml/xml-edit.js'
import { attributeOf, childOf, readXml } from '../../../../src/drivers/libvirt/xml/xml-tree.js'
import { unwritable, writeXml, xml } from '../../../../src/drivers/libvirt/xml/xml-writer.js'

const source = `<?xml version="1.0"?>
<!-- made by hand: <a>kept</a> -->
<domain   type = "kvm"  note='a > b' >
  <name>é😀</name>
  <devices>
    <disk type='file'><target dev="vda"  bus='virtio'/></disk>
    <empty/>
    <other:x xmlns:other="urn:other" a='&lt;&#39;'><![CDATA[<raw>]]></other:x>
  </devices>
</domain>
`

const edited = (change: (edit: XmlEdit, root: ReturnType<typeof readXml>) => void): string => {
  const edit = new XmlEdit(source)
  change(edit, readXml(source, 'the text'))
  return edit.text
}

const child = (root: ReturnType<typeof readXml>, ...path: string[]): NonNullable<ReturnType<typeof childOf>> => {
  const found = childOf(root, ...path)
  if (found === undefined) throw new Error(`no ${path.join('/')}`)
  return found
}

test('without a change, the text is the same', () => {
  expect(edited(() => undefined)).toBe(source)
})

test('each change leaves all else as it is, byte for byte', () => {
  const expectChange = (change: Parameters<typeof edited>[0], from: string, to: string): void => {
    expect(source).toContain(from)
    expect(edited(change)).toBe(source.split(from).join(to))
  }
  expectChange(
    (edit, root) => {
      edit.setText(child(root, 'name'), 'a<b>&"')
    },
    '<name>é😀</name>',
    '<name>a&lt;b&gt;&amp;"</name>',
  )
  expectChange(
    (edit, root) => {
      edit.setText(child(root, 'devices', 'empty'), 'x')
    },
    '<empty/>',
    '<empty>x</empty>',
  )
  expectChange(
    (edit, root) => {
      edit.setAttribute(root, 'type', "q'u")
    },
    '   type = "kvm"',
    " type='q&apos;u'",
  )
  expectChange(
    (edit, root) => {
      edit.setAttribute(root, 'note', undefined)
    },
    "  note='a > b'",
    '',
  )
  expectChange(
    (edit, root) => {
      edit.setAttribute(child(root, 'devices', 'empty'), 'id', '1')
    },
    '<empty/>',
    "<empty id='1'/>",
  )
  expectChange(
    (edit, root) => {
      edit.remove(child(root, 'devices', 'empty'))
    },
    '\n    <empty/>',
    '',
  )
  expectChange(
    (edit, root) => {
      edit.replace(child(root, 'devices', 'disk'), xml('disk', {}, xml('a')))
    },
    `<disk type='file'><target dev="vda"  bus='virtio'/></disk>`,
    '<disk>\n      <a/>\n    </disk>',
  )
  expectChange(
    (edit, root) => {
      edit.append(child(root, 'devices'), xml('z', { b: 1 }))
    },
    '\n  </devices>',
    "\n    <z b='1'/>\n  </devices>",
  )
  expectChange(
    (edit, root) => {
      edit.append(child(root, 'devices', 'empty'), xml('z'))
    },
    '<empty/>',
    '<empty>\n      <z/>\n    </empty>',
  )
  expectChange(
    (edit, root) => {
      edit.append(child(root, 'devices', 'disk'), xml('z'))
    },
    '/></disk>',
    '/>\n      <z/>\n    </disk>',
  )
})

test('several changes of one document are all made', () => {
  const text = edited((edit, root) => {
    const target = child(root, 'devices', 'disk', 'target')
    edit.setAttribute(target, 'dev', 'sda')
    edit.setAttribute(target, 'bus', 'scsi')
    edit.append(root, xml('first'))
    edit.append(root, xml('second'))
    edit.setAttribute(root, 'type', 'qemu')
  })
  expect(text).toContain("<target dev='sda' bus='scsi'/>")
  expect(text).toContain('  <first/>\n  <second/>\n</domain>')
  expect(text).toContain("<domain type='qemu'  note='a > b' >")
})

test('a change within an element that is removed or replaced is lost with it, before or after', () => {
  const inside = (edit: XmlEdit, root: ReturnType<typeof readXml>): void => {
    const target = child(root, 'devices', 'disk', 'target')
    edit.setAttribute(target, 'dev', 'sda')
    edit.append(target, xml('z'))
    edit.remove(target)
  }
  const remove = (edit: XmlEdit, root: ReturnType<typeof readXml>): void => {
    edit.remove(child(root, 'devices', 'disk'))
  }
  const replace = (edit: XmlEdit, root: ReturnType<typeof readXml>): void => {
    edit.replace(child(root, 'devices', 'disk'), xml('disk'))
  }
  for (const outside of [remove, replace]) {
    const expected = edited(outside)
    for (const changes of [
      [inside, outside],
      [outside, inside],
    ]) {
      expect(
        edited((edit, root) => {
          for (const change of changes) change(edit, root)
        }),
      ).toBe(expected)
    }
  }
})

test('any text comes back from an element and an attribute as it was', () => {
  const texts = fc.string({ unit: 'binary' }).filter((text) => !unwritable.test(text))
  fc.assert(
    fc.property(texts, texts, (text, value) => {
      const part = writeXml(xml('a', { value }, xml('b', {}, text)))
      const read = readXml(part, 'the text')
      expect(attributeOf(read, 'value')).toBe(value)
      expect(childOf(read, 'b')?.text).toBe(text)
    }),
  )
})
