import { once } from 'node:events'
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Ending, HostProgram } from '../../../src/ssh/host-program.js'
import { SshClient } from '../../../src/ssh/ssh-client.js'
import { within } from '../../../src/testing/conformance/deadline.js'
import { missingSsh, skipWithout } from '../../support/optional-tool.js'
import { SshServer } from '../../support/ssh-server.js'

interface Said {
  readonly ending: Ending
  readonly stdout: string
  readonly stderr: string
}

async function said({ ended, stdout, stderr }: HostProgram): Promise<Said> {
  const [ending, out, complaint] = await Promise.all([ended, text(stdout), text(stderr)])
  return { ending, stdout: out, stderr: complaint }
}

describe('the ssh client', () => {
  let server: SshServer
  let client: SshClient

  beforeAll(async () => {
    if (missingSsh !== undefined) return
    server = await SshServer.start()
    client = await SshClient.open(
      { host: '127.0.0.1', port: server.port, user: userInfo().username },
      { config: server.config, extraPath: server.folder },
    )
  })

  beforeEach((context) => {
    skipWithout(context, missingSsh)
  })

  afterAll(async () => {
    if (missingSsh !== undefined) return
    await client.close()
    await server[Symbol.asyncDispose]()
  })

  const start = (argv: readonly string[], hasInput = false): HostProgram => client.start(argv, { hasInput })

  test.each([0, 1, 130, 137, 255])('a program that exits with %i ends so', async (code) => {
    const program = start(['sh', '-c', `echo out; echo err >&2; exit ${String(code)}`])
    expect(await said(program)).toEqual({ ending: { kind: 'exit', code }, stdout: 'out\n', stderr: 'err\n' })
  })

  test('arguments reach a program unchanged', async () => {
    const words = ["it's", '"quoted"', '$HOME $(id) `id`', 'a\nb', '', ' ', '\\', '-x', '; true', '虚拟机', '* ~ %s']
    const { stdout } = await said(start(['printf', '[%s]', ...words]))
    expect(stdout).toBe(words.map((word) => `[${word}]`).join(''))
    expect(await client.script(`printf '[%s]' "$@"`, words)).toBe(stdout)
  })

  test('a program reads its input, and writes binary output', async () => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7) % 256))
    const program = start(['cat'], true)
    program.stdin.end(bytes)
    const output = await buffer(program.stdout)
    expect(Buffer.compare(output, bytes)).toBe(0)
    expect(await program.ended).toEqual({ kind: 'exit', code: 0 })
  })

  test('a program in an additional folder is found', async () => {
    await writeFile(join(server.folder, 'awaitvm-tool'), '#!/bin/sh\necho found\n', { mode: 0o755 })
    expect((await said(start(['awaitvm-tool']))).stdout).toBe('found\n')
  })

  test('a missing program was not begun', async () => {
    const { ending } = await said(start(['awaitvm-no-such-program']))
    expect(ending).toMatchObject({ kind: 'not-begun', error: { code: 'ENOENT' } })
  })

  test.each([
    ['interrupt', 'SIGINT'],
    ['kill', 'SIGKILL'],
  ] as const)('%s ends a program on the remote machine with %s', async (method, signal) => {
    // The shell starts it with SIGINT ignored, and a shell can't undo that.
    const program = start(['perl', '-e', '$SIG{INT} = "DEFAULT"; $| = 1; print "$$\\n"; sleep 600'])
    const [pid] = (await once(program.stdout, 'data')) as [Buffer]
    // The process id arrives on another stream than the output, but before the answer to a later program.
    await client.script('true')
    program[method]()
    expect(await within(program.ended, () => 'the end of the program')).toEqual({ kind: 'signal', signal })
    await expect(client.script('kill -0 "$1"', [pid.toString().trim()])).rejects.toThrow('Command failed')
  })

  test('a program that is killed before it reports that it has begun may have begun', async () => {
    const program = start(['sleep', '0.01'])
    program.kill()
    expect(await program.ended).toMatchObject({ kind: 'lost' })
  })

  test('a live program has a terminal, and ends when it is killed', async () => {
    const program = client.start(['sh', '-c', 'test -t 1 && echo terminal; exec sleep 600'], {
      hasInput: false,
      isLive: true,
    })
    const [line] = (await once(program.stdout, 'data')) as [Buffer]
    expect(line.toString().trim()).toBe('terminal')
    program.kill()
    await within(program.ended, () => 'the end of the program')
  })

  test('an unreachable machine, and an unknown key', async () => {
    const nobody = await SshClient.open({ host: '127.0.0.1', port: 1 }, { config: server.config })
    const refused = (await said(nobody.start(['true'], { hasInput: false }))).ending
    expect(refused).toMatchObject({ kind: 'not-begun' })
    expect(refused.kind === 'not-begun' && refused.error.message).toContain('refused')
    await nobody.close()

    const config = join(server.folder, 'stranger')
    await writeFile(config, (await readFile(server.config, 'utf8')).replace('/user\n', '/host\n'))
    const stranger = await SshClient.open({ host: '127.0.0.1', port: server.port }, { config })
    const denied = (await said(stranger.start(['true'], { hasInput: false }))).ending
    expect(denied).toMatchObject({ kind: 'not-begun', error: { code: 'EAUTH' } })
    await stranger.close()
  })

  test('a closed client leaves no folder behind', async () => {
    const folder = await mkdtemp(join(server.folder, 'tmp-'))
    vi.stubEnv('TMPDIR', folder)
    const other = await SshClient.open({ host: '127.0.0.1', port: server.port }, { config: server.config })
    vi.unstubAllEnvs()
    await other.script('true')
    expect(await readdir(folder)).toHaveLength(1)
    await other.close()
    expect(await readdir(folder)).toEqual([])
  })
})
