import { execFileSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { wrappedProgram, type GuestProgram, type ProgramEnd } from 'awaitvm/driver'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { missingRoot, missingTools, skipWithout } from '../../support/optional-tool.js'
import { guestShells, LocalWay, type GuestShell, type LocalWayOptions } from '../../support/local-guest.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-wrapped-'))
  await chmod(folder, 0o755)
})
afterEach(() => rm(folder, { recursive: true }))

interface Ran extends ProgramEnd {
  readonly stdout: string
  readonly stderr: string
  readonly begun: number
  readonly pid: number | undefined
}

/** Prints its arguments, each with a line feed. */
const printArguments = ['printf', '%s\n']

async function runIn(shell: GuestShell, program: GuestProgram, way?: LocalWayOptions): Promise<Ran> {
  const outputs = { stdout: '', stderr: '' }
  let begun = 0
  const wrapped = wrappedProgram(
    program,
    {
      input: undefined,
      output: (stream, bytes) => void (outputs[stream] += Buffer.from(bytes).toString()),
      begun: () => void (begun += 1),
    },
    'local',
  )
  const end = await new LocalWay(shell, way).run({ argv: wrapped.argv }, wrapped.io, new AbortController().signal)
  wrapped.requireBegun(end)
  return { ...end, ...outputs, begun, pid: wrapped.pid }
}

describe.each(guestShells)('with %s', (shell) => {
  beforeEach((context) => {
    skipWithout(context, missingTools(shell))
  })

  const run = (program: GuestProgram, way?: LocalWayOptions): Promise<Ran> => runIn(shell, program, way)

  test('a program has its arguments to the letter, its exit code and both of its outputs', async () => {
    const words = ['', '-x', 'a b', "quo'te", '"$x"', '*', 'line\nfeed', '\\n', 'ü', '--', '$(exit 3)']
    const { stdout, begun } = await run({ argv: [...printArguments, ...words] })
    expect(stdout).toBe(words.map((word) => `${word}\n`).join(''))
    expect(begun).toBe(1)
    const failing = await run({ argv: ['sh', '-c', 'echo out; echo error >&2; echo $$; exit 7'] })
    expect(failing).toMatchObject({ exitCode: 7, stdout: `out\n${String(failing.pid)}\n`, stderr: 'error\n' })
  })

  test('any arguments and variables reach a program', async () => {
    const text = fc
      .string({ unit: 'grapheme' })
      .filter((value) => !value.includes('\0') && Buffer.from(value).toString() === value)
    const name = fc
      .stringMatching(/^[A-Z_][A-Z0-9_.-]{0,8}$/)
      .filter((value) => !/^(PATH|LC_|LANG|POSIXLY|UID|EUID|IFS|PWD|ENV|BASH)/.test(value))
    const property = fc.asyncProperty(
      fc.array(text, { minLength: 1 }),
      fc.dictionary(name, text),
      async (words, env) => {
        const { stdout } = await run({ argv: [...printArguments, ...words], env })
        expect(stdout).toBe(words.map((word) => `${word}\n`).join(''))
        const variables = await run({ argv: ['env', '-0'], env })
        for (const [key, value] of Object.entries(env))
          expect(variables.stdout.split('\0')).toContain(`${key}=${value}`)
      },
    )
    await fc.assert(property, { numRuns: 10 })
  })

  test('a program has its variables, its folder and what it finds in its PATH', async () => {
    await mkdir(join(folder, '-odd folder'))
    await writeFile(join(folder, 'a=b'), '#!/bin/sh\necho "$X-$1-$PWD"', { mode: 0o755 })
    const cwd = join(folder, '-odd folder')
    const env = { X: 'x y', 'odd.name': '1', UID: '5' }
    expect(await run({ argv: [join(folder, 'a=b'), 'arg'], env, cwd })).toMatchObject({ stdout: `x y-arg-${cwd}\n` })
    expect(await run({ argv: ['a=b', 'arg'], env: { X: '1', PATH: folder }, cwd: '/' })).toMatchObject({
      stdout: '1-arg-/\n',
    })
    expect(await run({ argv: ['./a=b', 'arg'], cwd: folder })).toMatchObject({ stdout: `-arg-${folder}\n` })
  })

  test('what can not be run is told apart, and did not begin', async () => {
    await writeFile(join(folder, 'plain'), 'echo no')
    await mkdir(join(folder, 'sub'))
    for (const name of ['no-such-program', join(folder, 'none'), join(folder, 'plain'), join(folder, 'sub'), '']) {
      await expect(run({ argv: [name] }), name).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', path: 'command[0]' })
    }
    for (const cwd of [join(folder, 'none'), join(folder, 'plain')]) {
      await expect(run({ argv: ['true'], cwd })).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        path: 'options.cwd',
      })
    }
    for (const user of ['no-such-user', '-x', '$(id)', 'a b']) {
      await expect(run({ argv: ['true'], user })).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        path: 'options.user',
      })
    }
    for (const name of ['', 'A=B', '-u']) {
      await expect(run({ argv: ['true'], env: { [name]: 'x' } })).rejects.toMatchObject({ path: `options.env.${name}` })
    }
  })

  test.for([
    ['setpriv', undefined],
    ['su', '#!/bin/sh\nexit 1\n'],
  ] as const)(
    'by %s, a program runs as another user, with the groups, variables and arguments that it should have',
    async ([, setpriv], context) => {
      skipWithout(context, missingRoot)
      const tools = join(folder, 'tools')
      await mkdir(tools)
      if (setpriv !== undefined) await writeFile(join(tools, 'setpriv'), setpriv, { mode: 0o755 })
      const user = 'games'
      const wanted = execFileSync('id', [user], { encoding: 'utf8' })
      const home = execFileSync('sh', ['-c', `echo ~${user}`], { encoding: 'utf8' }).trim()
      const way = { tools }
      expect((await run({ argv: ['id'], user }, way)).stdout).toBe(wanted)
      const script = 'for word; do printf "%s|" "$word"; done; echo "$HOME $USER $LOGNAME $PWD $X $$"'
      const ran = await run(
        { argv: ['sh', '-c', script, 'sh', '-c', "it's", ''], user, cwd: '/tmp', env: { X: 'x' } },
        way,
      )
      expect(ran.stdout).toBe(`-c|it's||${home} ${user} ${user} /tmp x ${String(ran.pid)}\n`)
      expect(ran.stderr).toBe('')
      expect(await run({ argv: ['sh', '-c', 'exit 9'], user }, way)).toMatchObject({ exitCode: 9 })
    },
  )
})

// In dash, since the shell of busybox has a su of its own.
test('what is printed before a program begins is not taken for its output', async (context) => {
  skipWithout(context, missingRoot ?? missingTools('dash'))
  const tools = join(folder, 'tools')
  await mkdir(tools)
  await writeFile(join(tools, 'setpriv'), '#!/bin/sh\nexit 1\n', { mode: 0o755 })
  await writeFile(join(tools, 'su'), '#!/bin/sh\necho warning >&2; shift 7; exec "$@"', { mode: 0o755 })
  expect(await runIn('dash', { argv: ['sh', '-c', 'echo own >&2'], user: 'games' }, { tools })).toMatchObject({
    stderr: 'own\n',
  })
  await writeFile(join(tools, 'su'), '#!/bin/sh\necho "su: refused" >&2; exit 1', { mode: 0o755 })
  await expect(runIn('dash', { argv: ['true'], user: 'games' }, { tools })).rejects.toMatchObject({
    code: 'HOST_ERROR',
    native: { code: 1, message: 'su: refused' },
  })
})
