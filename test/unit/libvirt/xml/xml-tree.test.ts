import { ProtocolError } from 'awaitvm'
import { expect, test } from 'vitest'
import { attributeOf, childOf, childrenOf, readXml, textOf } from '../../../../src/drivers/libvirt/xml/xml-tree.js'

const read = (text: string): ReturnType<typeof readXml> => readXml(text, 'the text')

test.each([
  ['an entity of its own', '<!DOCTYPE a [<!ENTITY x "yy">]><a>&x;</a>'],
  ['a file', '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'],
  ['a document type that is never used', '<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd"><a/>'],
  ['a billion laughs', `<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "${'&a;'.repeat(1000)}">]><a>&b;</a>`],
  ['an entity that is not known', '<a>&x;</a>'],
  ['a tag that is not closed', '<a><b></a>'],
  ['two attributes of one name', '<a b="1" b="2"/>'],
  ['a character that XML does not have', '<a>&#1;</a>'],
  ['nothing', ''],
  ['text', 'no xml'],
  ['a hundred thousand elements in one another', `${'<a>'.repeat(100_000)}${'</a>'.repeat(100_000)}`],
  ['more than libvirt sends', `<a>${'x'.repeat(2 ** 22)}</a>`],
])('XML with %s is a ProtocolError', (_what, xml) => {
  expect(() => read(xml)).toThrow(ProtocolError)
})

test('elements, attributes and texts are found, also by names of Object', () => {
  const root = read(
    `<a constructor="1" __proto__="2"><b>1</b><c/><b> &lt;é😀&#10; </b><toString><b>3</b></toString></a>`,
  )
  expect(childrenOf(root, 'b').map(({ text }) => text)).toEqual(['1', ' <é😀\n '])
  expect(childrenOf(root, 'b').map(textOf)).toEqual(['1', '<é😀'])
  expect(textOf(childOf(root, 'toString', 'b'))).toBe('3')
  expect(textOf(childOf(root, 'c'))).toBeUndefined()
  expect(childOf(root, 'd', 'b')).toBeUndefined()
  expect(attributeOf(root, 'constructor')).toBe('1')
  expect(attributeOf(root, '__proto__')).toBe('2')
  expect(attributeOf(root, 'hasOwnProperty')).toBeUndefined()
})

test('a megabyte of text is read', () => {
  expect(childOf(read(`<a><m>${'é'.repeat(2 ** 20)}</m></a>`), 'm')?.text).toHaveLength(2 ** 20)
})
