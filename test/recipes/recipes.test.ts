import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Server } from 'awaitvm'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Child } from '../support/child-process.js'
import { debianWithAgent } from '../support/debian-with-agent.js'
import { debianWithSsh } from '../support/debian-with-ssh.js'
import { missingQemu, missingSsh, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'
import { programs } from './shown-programs.js'

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a recipe to its end. */
const run = (recipe: string, ...args: readonly string[]): Promise<Outcome> =>
  new Promise((resolve) => {
    execFile(process.execPath, ['--import', 'tsx', join(programs, recipe), ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })

const namesOn = async (server: Server): Promise<string[]> =>
  (await server.getVmList().unwrap()).map(({ name }) => name).sort()

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-recipes-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

describe('on the embedded host', () => {
  test('Ctrl-C ends a throw-away VM, and nothing is left of it', async () => {
    const uri = `embedded://${folder}`
    await using server = await connect(uri).unwrap()
    await server.createVm({ name: 'tiny' }).unwrap()

    await using child = new Child('../recipes/programs/throw-away-vm.ts', [uri, 'tiny'])
    await child.printed('awaitvm guest ready')
    expect(await namesOn(server)).toEqual([expect.stringMatching(/^tiny$/), expect.stringMatching(/^tiny-.{36}$/)])
    child.process.kill('SIGINT')
    const [code] = await once(child.process, 'close')
    expect(code).toBe(130)
    expect(await namesOn(server)).toEqual(['tiny'])
  })

  test('a snapshot of all VMs shows its progress, tries again, and lists the failures', async () => {
    const uri = `embedded://${folder}`
    await using server = await connect(uri).unwrap()
    for (const name of ['idle', 'suspended', 'used "here"']) await server.createVm({ name }).unwrap()
    const suspended = await server.getVm('suspended').unwrap()
    await suspended.start().unwrap()
    await suspended.suspend().unwrap()
    const used = await server.getVm('used "here"').unwrap()
    await used.start().unwrap()

    const csv = join(folder, 'failures.csv')
    const { code, stderr } = await run('snapshot-all.ts', uri, csv)
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining('[####################] 100 %, 2 failed\n'),
    })
    const lines = (await readFile(csv, 'utf8')).trimEnd().split('\n').sort()
    expect(lines).toEqual([
      expect.stringMatching(/^"suspended","1","INVALID_STATE","Cannot create a snapshot of VM ""suspended""/),
      expect.stringMatching(/^"used ""here""","3","RESOURCE_BUSY","/),
      '"vm","attempts","code","message"',
    ])
    const idle = await server.getVm('idle').unwrap()
    expect(await idle.getSnapshotTree().unwrap()).toMatchObject([{ name: expect.stringMatching(/^nightly /) }])
  })
})

describe('with a Linux guest of QEMU', () => {
  let host: QmpHost
  let missing = missingQemu
  beforeAll(async () => {
    if (missing !== undefined) return undefined
    const linux = await debianWithAgent()
    missing = linux.unavailable
    if (linux.unavailable !== undefined) return undefined
    host = await QmpHost.open()
    const { kernel, initrd } = linux
    await host.createVm({
      name: 'debian',
      memoryMiB: 128,
      boot: { kernel, initrd, commandLine: 'console=ttyS0 quiet' },
    })
    return () => host[Symbol.asyncDispose]()
  }, 300_000)
  beforeEach((context) => {
    skipWithout(context, missing)
  })

  test('a program runs once the guest is ready, with its output and exit code', async () => {
    const original = await host.server.getVm('debian').unwrap()
    const vm = await original.clone({ name: 'kept' }).unwrap()
    // The guest boots for the first, and is there for the second.
    for (const code of [0, 3]) {
      const command = `echo one; echo two >&2; exit ${String(code)}`
      expect(await run('run-program.ts', host.uri, 'kept', command)).toEqual({ code, stdout: 'one\n', stderr: 'two\n' })
    }
    await vm.delete({ force: true }).unwrap()
  })

  test('programs in the sandbox find nothing of the ones before, and end in time', async () => {
    const programs = {
      first: 'echo first > /tmp/trace; cat /tmp/trace',
      endless: 'while :; do :; done',
      second: "cat /tmp/trace; printf '\\033[2Jcleared'",
    }
    const paths = Object.keys(programs).map((name) => join(folder, name))
    for (const [name, program] of Object.entries(programs)) await writeFile(join(folder, name), program)
    const { code, stdout, stderr } = await run('sandbox.ts', host.uri, 'debian', ...paths)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout.replaceAll(`${folder}/`, '')).toBe(
      'first exit code 0: first\nendless TIMEOUT\nsecond exit code 0: cleared\n',
    )
    expect(await namesOn(host.server)).toEqual(['debian'])
  })
})

describe('with a Debian guest of QEMU that has no agent', () => {
  let host: QmpHost
  let missing = missingQemu ?? missingSsh
  beforeAll(async () => {
    if (missing !== undefined) return undefined
    const linux = await debianWithSsh()
    missing = linux.unavailable
    if (linux.unavailable !== undefined) return undefined
    host = await QmpHost.open()
    const { kernel, initrd, userKey } = linux
    await host.createVm({
      name: 'debian',
      memoryMiB: 256,
      boot: { kernel, initrd, commandLine: 'console=ttyS0 quiet' },
      networkAdapters: [{ portForwards: [{ guestPort: 22 }] }],
      guest: { way: 'ssh', user: 'ci', privateKeyFile: userKey },
    })
    return () => host[Symbol.asyncDispose]()
  }, 300_000)
  beforeEach((context) => {
    skipWithout(context, missing)
  })

  test('a CI job in a throw-away VM ends as its command does, brings its results back, and leaves no VM', async () => {
    const project = join(folder, 'project')
    await mkdir(join(project, 'data'), { recursive: true })
    const program = `mkdir build
echo "working as $(id -un)" >&2
echo $(($(cat data/number) * 2)) | tee build/result
exit 3
`
    await writeFile(join(project, 'double.sh'), program)
    await writeFile(join(project, 'data/number'), '21')
    const results = join(folder, 'results')
    const outcome = await run('ci-job.ts', host.uri, 'debian', project, 'sh double.sh', 'build', results)
    expect(outcome).toEqual({ code: 3, stdout: '42\n', stderr: 'working as ci\n' })
    expect(await readFile(join(results, 'result'), 'utf8')).toBe('42\n')
    expect(await namesOn(host.server)).toEqual(['debian'])
  })
})
