import { expect, test } from 'vitest'
import { parseShallowJson } from '../../../src/model/shallow-json.js'

const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)

test.each([
  '{"a":[1,{"b":null}],"c":"d"}',
  nested(100),
  JSON.stringify(['['.repeat(200), '\\"', `"\\${'{'.repeat(200)}`, `\\\\"${'['.repeat(200)}`]),
  JSON.stringify({ [']"['.repeat(200)]: Array.from({ length: 200 }, () => [{}]) }),
])('what is not deep is read as JSON.parse does: %#', (text) => {
  expect(parseShallowJson(text)).toEqual(JSON.parse(text))
})

test.each([nested(101), '{"a":'.repeat(101), `["\\\\",${nested(100)}]`, '['.repeat(10_000_000)])(
  'what is deep is refused: %#',
  (text) => {
    expect(() => parseShallowJson(text)).toThrow('it is nested more than 100 levels deep')
  },
)

test.each(['', '"', '"\\', '["a', '[1', ']'.repeat(200) + '['.repeat(100), nested(100).slice(1)])(
  'what is no JSON is refused: %#',
  (text) => {
    expect(() => parseShallowJson(text)).toThrow(SyntaxError)
  },
)
