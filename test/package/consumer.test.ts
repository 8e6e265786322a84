import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rename, rm, symlink, mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { skipWithout } from '../support/optional-tool.js'

const root = join(import.meta.dirname, '../..')
const run = promisify(execFile)

let folder: string
let tarball: string
let missing: string | undefined

/** Runs a program in the consumer's project. Answers its output. */
async function inProject(program: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run(program, args, { cwd: folder, env: { ...process.env, NODE_OPTIONS: '' } })
    return stdout
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(`${program} ${args.join(' ')} failed\n${stdout}\n${stderr}`, { cause: error })
  }
}

const write = (name: string, content: string): Promise<void> => writeFile(join(folder, name), content)
const tool = (name: string, file: string): string => join(root, 'node_modules', name, file)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-consumer-'))
  // The package as it is published, with its dependencies from the registry. The build is the one of this run.
  await run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], { cwd: root })
  tarball = (await readdir(folder)).find((name) => name.endsWith('.tgz'))!
  await write('package.json', JSON.stringify({ name: 'consumer', type: 'module', private: true }))
  const options = ['--no-audit', '--no-fund', '--prefer-offline']
  await inProject('npm', ['install', `./${tarball}`, ...options]).catch((error: unknown) => {
    missing = `the registry can't be had: ${String(error)}`
  })
  // As pnpm has it: a package's own dependencies are not the consumer's.
  const own = join(folder, 'node_modules/awaitvm/node_modules')
  if (missing === undefined) {
    await mkdir(own, { recursive: true })
    await rename(join(folder, 'node_modules/neverthrow'), join(own, 'neverthrow'))
  }
  // The consumer's tools are those of this project.
  await mkdir(join(folder, 'node_modules/@types'), { recursive: true })
  for (const name of ['vitest', 'typescript', '@types/node']) {
    await symlink(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  }
}, 300_000)

beforeEach((context) => {
  skipWithout(context, missing)
})

afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

const program = `
const server = await connect('embedded:').unwrap()
const report = await batch(['a', 'b', 'c'], (name) => server.createVm({ name })).unwrap()
await batch(report.succeeded.map(({ result }) => result.value), (vm) => vm.start()).unwrap()
console.log((await server.getVmList({ state: 'running' }).unwrap()).map((vm) => vm.name).sort().join())
await server.close()
`

test('an ES module imports it', async () => {
  await write('main.mjs', `import { batch, connect } from 'awaitvm'\n${program}`)
  expect(await inProject('node', ['main.mjs'])).toBe('a,b,c\n')
})

test('a CommonJS module requires it', async () => {
  await write(
    'main.cjs',
    `const { batch, connect, ok } = require('awaitvm')
     const { createSimulatedServer } = require('awaitvm/testing')
     if (typeof createSimulatedServer !== 'function' || !ok(1).isOk()) process.exitCode = 1
     ;(async () => { ${program} })()`,
  )
  expect(await inProject('node', ['main.cjs'])).toBe('a,b,c\n')
})

const typed = `
import { batch, connect, err, matchError, ok, type BatchReport, type StartErrors, type Vm } from 'awaitvm'
import { createSimulatedServer, type Fault } from 'awaitvm/testing'

export async function startAll(uri: string): Promise<string[]> {
  await using server = await connect(uri).unwrap()
  const vms: Vm[] = await server.getVmList().unwrap()
  const report: BatchReport<Vm, void, StartErrors> = await batch(vms, (vm) => vm.start()).unwrap()
  return report.failed.map(({ item, result }) => item.name + matchError(result.error, { _: ({ code }) => code }))
}

export const ready = (isReady: boolean) => (isReady ? ok(1) : err('not yet' as const))
export const later = (vm: Vm) => vm.start().toResultAsync()
export const started = (vms: Vm[]) => batch(vms, async (vm) => ok(await vm.start().unwrap()))

const fault: Fault = { operation: 'vm.start', kind: 'hang' }
export const simulated = createSimulatedServer({ vms: 3, faults: [fault] })
// @ts-expect-error there is no such operation
export const wrong: Fault = { operation: 'vm.begin', kind: 'hang' }
`

describe.each(['nodenext', 'bundler'])('TypeScript with moduleResolution %s', (moduleResolution) => {
  test('finds every type, and checks the declarations themselves', async () => {
    await write('typed.mts', typed)
    const compilerOptions = {
      target: 'es2022',
      lib: ['es2023', 'esnext.disposable'],
      module: moduleResolution === 'bundler' ? 'esnext' : 'nodenext',
      moduleResolution,
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      // All inferred types must be exported.
      declaration: true,
      outDir: 'typed',
    }
    await write('tsconfig.json', JSON.stringify({ compilerOptions, files: ['typed.mts'] }))
    await inProject('node', [tool('typescript', 'bin/tsc'), '-p', 'tsconfig.json'])
  })
})

/** Writes the driver of the chapter "Write a driver", and its test, into a project. */
async function writeChapter(project: string): Promise<void> {
  const chapter = await readFile(join(root, 'src/driver/README.md'), 'utf8')
  const files = [...chapter.matchAll(/^```ts\n(\/\/ ([\w.]+)\n[\s\S]*?)^```$/gm)]
  expect(files.map(([, , name]) => name)).toEqual(['mine.ts', 'mine.test.ts'])
  for (const [, code = '', name = ''] of files) await writeFile(join(project, name), code)
}

const typedTest = `
import 'awaitvm/testing/vitest'
import { createSimulatedServer } from 'awaitvm/testing'
import { describeConformance, noGuest, type ConformanceHost } from 'awaitvm/testing/conformance'
import { expect, test } from 'vitest'

const simulatedHost: ConformanceHost = {
  name: 'simulated:',
  guest: noGuest({ runsBare: true }),
  open: async (options) => ({ server: createSimulatedServer(options).server }),
}
describeConformance(simulatedHost, ['lifecycle', 'close'])
// @ts-expect-error there is no such subject
describeConformance(simulatedHost, ['everything'])

test('starts once', async () => {
  const simulated = createSimulatedServer({ vms: 1 })
  const vm = await simulated.server.getVm('vm-1').unwrap()
  const waiting: Promise<void> = expect(vm.start()).toBeOk()
  await waiting
  await expect(vm.start()).toFailWith('INVALID_STATE', { state: 'running' })
  const done: void = expect(await vm.getState()).toBeOk('running')
  expect(simulated).not.toHaveCalled('vm.stop')
  expect([done]).toEqual([undefined])
  // @ts-expect-error there is no such code
  await expect(vm.start()).toFailWith('NOT_A_CODE')
})
`

test.each(['3.2', '4', '5'])(
  'what tests import has types with vitest %s, without skipLibCheck, and the conformance suite runs',
  async (version) => {
    const project = join(folder, `vitest-${version}`)
    await mkdir(project)
    await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'tests', type: 'module', private: true }))
    const install = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error']
    await run('npm', [...install, join(folder, tarball), `vitest@${version}`], { cwd: project })
    await writeFile(join(project, 'typed.ts'), typedTest)
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--types', 'node']
    const roots = ['--lib', 'es2023,esnext.disposable', '--typeRoots', join(root, 'node_modules/@types')]
    const { stdout } = await run(process.execPath, [tool('typescript', 'bin/tsc'), ...options, ...roots, 'typed.ts'], {
      cwd: project,
    }).catch((error: unknown) => error as { readonly stdout: string })
    // Errors in vitest's own declarations do not count.
    expect(stdout.split('\n').filter((line) => !/^node_modules\/(?!awaitvm\/)|^$/.test(line))).toEqual([])

    await writeChapter(project)
    const vitest = join(project, 'node_modules/vitest/vitest.mjs')
    try {
      await run(process.execPath, [vitest, 'run', 'mine.test.ts', '--reporter=dot'], { cwd: project })
    } finally {
      // The other tests run vitest in the folder above.
      await rm(project, { recursive: true })
    }
  },
)

test("the consumer's own vitest tests use the simulated host, interception and the matchers", async () => {
  await write(
    'app.js',
    `import { connect } from 'awaitvm'
     export const count = async (uri) => {
       const server = await connect(uri).unwrap()
       const vms = await server.getVmList().unwrap()
       await server.close()
       return vms.length
     }`,
  )
  await write(
    'app.test.js',
    `import { VmError } from 'awaitvm'
     import { createSimulatedServer } from 'awaitvm/testing'
     import 'awaitvm/testing/vitest'
     import { expect, test } from 'vitest'
     import { count } from './app.js'

     test('the code connects to the simulated host', async () => {
       const simulated = createSimulatedServer({ vms: 2 })
       const interception = simulated.intercept('qemu:///system')
       expect(await count('qemu:///system')).toBe(2)
       interception[Symbol.dispose]()
       const vm = await simulated.server.getVm('vm-1').unwrap()
       await expect(vm.start()).toBeOk()
       await expect(vm.start()).toFailWith('INVALID_STATE')
       expect((await vm.start()).error).toBeInstanceOf(VmError)
       expect(simulated).toHaveCalled('vm.start', { vm: 'vm-1', times: 3 })
     })`,
  )
  const printed = await inProject('node', [tool('vitest', 'vitest.mjs'), 'run', '--reporter=json', '--dir', '.'])
  expect(JSON.parse(printed)).toMatchObject({ success: true, numPassedTests: 1 })
})

describe('the driver of the chapter "Write a driver"', () => {
  beforeAll(async () => {
    await writeChapter(folder)
  })

  test('compiles against the declarations of the package', async () => {
    const compilerOptions = {
      target: 'es2022',
      lib: ['es2023', 'esnext.disposable'],
      module: 'nodenext',
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: true,
      noEmit: true,
    }
    await write('tsconfig.json', JSON.stringify({ compilerOptions, files: ['mine.test.ts'] }))
    await inProject('node', [tool('typescript', 'bin/tsc'), '-p', 'tsconfig.json'])
  })

  /** Runs the tests of a file in the project. Answers the output of vitest's JSON reporter. */
  const runTests = (file: string): Promise<string> =>
    inProject('node', [tool('vitest', 'vitest.mjs'), 'run', file, '--reporter=json', '--dir', '.'])

  test('passes the conformance suite', async () => {
    const { numPassedTests, ...outcome } = JSON.parse(await runTests('mine.test.ts')) as {
      readonly numPassedTests: number
    }
    expect(outcome).toMatchObject({ success: true, numFailedTests: 0 })
    // Cases that need a guest are skipped.
    expect(numPassedTests).toBeGreaterThan(250)
  })

  test('fails it, by the name of the setting, if it drops a setting in silence', async () => {
    const refusals = /^ *refuseSettings\(.*\n/gm
    const driver = await readFile(join(folder, 'mine.ts'), 'utf8')
    expect(driver.match(refusals)).toHaveLength(2)
    await write('forgetful.ts', driver.replace(refusals, ''))
    const suite = await readFile(join(folder, 'mine.test.ts'), 'utf8')
    await write('forgetful.test.ts', suite.replace('./mine.js', './forgetful.js'))
    await expect(runTests('forgetful.test.ts')).rejects.toThrow(
      /The driver must keep this promise.*: spec\.disks\.sizeMiB is refused by a creation, and nothing is made/,
    )
  })
})
