import { expect, test } from 'vitest'
import { guestCommand } from '../../../src/guest-agent/guest-command.js'

const result = (stderr: string) => ({
  exitCode: 127,
  stdout: new Uint8Array(),
  stderr: Buffer.from(stderr),
  isTruncated: false,
})

test('a program without folder and variables is started directly', () => {
  const { program, isWrapped, refusalIn } = guestCommand(['ls', '-l', "it's"], { input: Buffer.from('é') })
  expect(program).toEqual({ path: 'ls', args: ['-l', "it's"], input: Buffer.from('é') })
  expect(isWrapped).toBe(false)
  expect(refusalIn(result('0123 program'))).toBeUndefined()
})

test('a folder and variables are passed through the shell, word for word', () => {
  const { program, refusalIn } = guestCommand(['a=b', '$x'], { cwd: '/a b', env: { ONE: '1', 'two.three': '= ;' } })
  expect(program.path).toBe('env')
  expect(program.args.slice(0, 4)).toEqual(['ONE=1', 'two.three== ;', '/bin/sh', '-c'])
  const [mark = '', ...words] = program.args.slice(6)
  expect(mark).toMatch(/^[0-9a-f]{24}$/)
  expect(words).toEqual(['/a b', 'a=b', '$x'])
  expect(refusalIn(result(`${mark} program`))).toMatchObject({ code: 'INVALID_ARGUMENT', path: 'command[0]' })
  expect(refusalIn(result(`sh: cd\n${mark} folder`))).toMatchObject({ code: 'INVALID_ARGUMENT', path: 'options.cwd' })
  expect(refusalIn(result('another program'))).toBeUndefined()
  expect(guestCommand(['pwd'], { cwd: '/' }).program.path).toBe('/bin/sh')
})

test.each(['', '=', 'A=B', '-i'])('a variable can not have the name %j', (name) => {
  expect(() => guestCommand(['true'], { env: { [name]: 'x' } })).toThrow('which is not a name for a variable')
})

test('an input that is too long for the agent is refused', () => {
  const input = new Uint8Array(32 * 2 ** 20 + 1)
  expect(() => guestCommand(['cat'], { input })).toThrow('options.input has 33554433 bytes, and the agent takes 32 MiB')
})
