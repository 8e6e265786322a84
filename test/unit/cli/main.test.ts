import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { builtInGuest } from '../../../src/drivers/embedded/machine/guest.js'
import { debianLinux } from '../../support/debian-linux.js'
import { missingTools, skipWithout } from '../../support/optional-tool.js'
import { CliProcess, type Outcome } from './cli-process.js'

const root = join(import.meta.dirname, '../../..')
const escape = '\u001b'

let folder: string
let kernel: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'awaitvm-cli-'))
  kernel = join(folder, 'guest.bin')
  writeFileSync(kernel, builtInGuest())
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('the tour', () => {
  let outcome: Outcome
  let leftBehind: readonly string[]
  beforeAll(async () => {
    const cwd = mkdtempSync(join(folder, 'tour-'))
    await using tour = CliProcess.run([], { cwd })
    outcome = await tour.outcome()
    leftBehind = readdirSync(cwd)
  })

  test('succeeds, and prints nothing on stderr', () => {
    expect(outcome).toMatchObject({ code: 0, stderr: '' })
  })

  test('leaves nothing behind', () => {
    expect(leftBehind).toEqual([])
  })

  test('shows each step', () => {
    const headings = [...outcome.stdout.matchAll(/^\d+\. .*$/gm)].map(String)
    expect(headings).toEqual([
      '1. Connect to a host',
      '2. Start 7 machines at once',
      '3. Talk to a guest over its serial console',
      '4. Look at its screen, and type on its keyboard',
      '5. Poll a job',
      '6. Cancel a job',
      '7. Suspend a machine, and bring it back with its memory',
      '8. Take a snapshot of a running machine, and go back to it',
      '9. Handle a typed error',
      '10. Work inside a guest: a file, and a program with live output',
      '11. Stop them all',
    ])
  })

  test('shows the progress of all machines, up to the end', () => {
    expect(outcome.stdout).toMatch(/^ +vm-1 +vm-2 +vm-3 +vm-4 +vm-5 +vm-6 +vm-7$/m)
    expect(outcome.stdout).toMatch(/^ +\d+\.\d s( +100 %){7}$/m)
  })

  test.each([
    'it says: help count off reboot halt fault deaf slow write XX read',
    '160 x 100 pixels',
    'key 23, key 17',
    'WAIT_TIMEOUT: the wait is over, and the job is running',
    'cancelled: the press of the button was taken back',
    'the job ended with JOB_CANCELLED, and the VM is running',
    'JOB_FINISHED: it had ended before',
    'the VM is suspended: its thread is gone, its memory is kept',
    'the VM is running, and goes on counting: lines 3',
    'it has forgotten that: lines 2',
    'INVALID_STATE: it is running, and would have to be stopped or crashed',
    'compile: done\n   test: done\n   pack: done\n   it ended with exit code 0 after ',
    'it has left a file: 3 of 3 steps done',
    'vm-4 did not listen; now it is stopped',
  ])('shows the outcome: %s', (line) => {
    expect(outcome.stdout).toContain(line)
  })

  test('shows the progress of a polled job', () => {
    expect(outcome.stdout).toMatch(/^ {3}running: \d+ %, .*\n(.*\n)*? {3}finished: 100 %, return code SUCCESS$/m)
  })

  test('shows the outcome of each stop', () => {
    // On a busy machine, other guests may also need longer than their timeout.
    expect(outcome.stdout).toMatch(/^ {3}((SUCCESS|TIMEOUT), ){3}TIMEOUT(, (SUCCESS|TIMEOUT)){3}$/m)
  })

  test('shows the code that it runs', () => {
    const shown = [...outcome.stdout.matchAll(/^ {3}> (.*)$/gm)].map(([, code = '']) => code)
    const sources = readdirSync(join(root, 'src/cli'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readFileSync(join(root, 'src/cli', name), 'utf8'))
    const executed = sources.join('').replace(/^ *page\.code\(.*\n/gm, '')
    expect(shown.length).toBeGreaterThan(10)
    expect(shown.filter((code) => !executed.includes(code))).toEqual([])
  })

  test('prints no escape codes without a terminal', () => {
    expect(outcome.stdout).not.toContain(escape)
  })

  test.each(['1. Connect', '2. Start', '6. Cancel', '8. Take'])(
    'cancels and closes everything on SIGINT, at %s',
    async (heading) => {
      await using tour = CliProcess.run([])
      await tour.says(heading)
      tour.signal('SIGINT')
      const interrupted = await tour.outcome()
      expect(interrupted.code).toBe(130)
      expect(interrupted.stderr).toContain('Interrupted: everything was cancelled and closed.')
    },
  )
})

describe('the tour on a terminal', () => {
  const clearLine = `${escape}[2K`

  test('draws bars over each other', async (context) => {
    skipWithout(context, missingTools('script'))
    await using tour = CliProcess.onTerminal([])
    const { code, stdout } = await tour.outcome()
    expect(code).toBe(0)
    expect(stdout).toContain(`${escape}[7A${clearLine}\r   vm-1  `)
    expect(stdout).toMatch(/vm-7 .*━{30}.* 100 %/)
  })

  test.for([{ NO_COLOR: '1' }, { CI: 'true' }, { TERM: 'dumb' }])('is plain with %o', async (env, context) => {
    skipWithout(context, missingTools('script'))
    await using tour = CliProcess.onTerminal([], { env })
    const { code, stdout } = await tour.outcome()
    expect(code).toBe(0)
    expect(stdout).not.toContain(escape)
  })
})

describe('arguments', () => {
  test('--help lists them', async () => {
    await using help = CliProcess.run(['--help'])
    const { code, stdout, stderr } = await help.outcome()
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    for (const option of ['--kernel', '--initrd', '--append', '--memory', '--help', 'Ctrl-]'])
      expect(stdout).toContain(option)
  })

  test.each([
    { args: ['--nonsense'], message: "Unknown option '--nonsense'" },
    { args: ['nonsense'], message: "Unexpected argument 'nonsense'" },
    { args: ['--kernel'], message: "Option '--kernel <value>' argument missing" },
    { args: ['--kernel', ''], message: '--kernel and --initrd take the path of a file' },
    { args: ['--initrd', 'initrd.gz'], message: 'need a --kernel' },
    { args: ['--memory', '64'], message: 'need a --kernel' },
    { args: ['--kernel', 'vmlinuz', '--memory', 'much'], message: '--memory takes a whole number of MiB' },
    { args: ['--kernel', 'vmlinuz', '--memory', '0'], message: '--memory takes a whole number of MiB' },
  ])('$args are wrong', async ({ args, message }) => {
    await using process = CliProcess.run(args)
    const { code, stdout, stderr } = await process.outcome()
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(message)
    expect(stderr).toContain('npm start -- --help')
  })

  test('an error of the host is printed without a stack', async () => {
    await using process = CliProcess.run(['--kernel', 'missing'], {
      cwd: folder,
      env: { INIT_CWD: '/elsewhere' },
    })
    const { code, stdout, stderr } = await process.outcome()
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain('spec.boot.kernel must name a readable file, and /elsewhere/missing is not there.')
    expect(stderr).not.toContain('    at ')
  })
})

describe("a kernel of the user's own", () => {
  test('has the terminal as its console, until Ctrl-]', async (context) => {
    skipWithout(context, missingTools('script'))
    await using process = CliProcess.onTerminal(['--kernel', 'guest.bin'], { cwd: folder })
    await process.says('awaitvm guest ready')
    // Ctrl-C is the guest's.
    process.type('a\u0003b\rcount\r')
    await process.says('lines 2')
    process.type('\u001d')
    const { code, stdout } = await process.outcome()
    expect(code).toBe(0)
    expect(stdout).toContain('[Ctrl-] leaves it.]')
    expect(stdout).toContain('[The machine was switched off.]')
  })

  test('ends the session when it powers off, even during input', async (context) => {
    skipWithout(context, missingTools('script'))
    await using process = CliProcess.onTerminal(['--kernel', kernel])
    await process.says('awaitvm guest ready')
    process.type(`off\r${'x'.repeat(3000)}`)
    const { code, stdout } = await process.outcome()
    expect(code).toBe(0)
    expect(stdout).toContain('powering off')
    expect(stdout).toContain('[The guest has powered off.]')
  })

  test('that crashes is a failure', async (context) => {
    skipWithout(context, missingTools('script'))
    await using process = CliProcess.onTerminal(['--kernel', kernel])
    await process.says('awaitvm guest ready')
    process.type('fault\r')
    const { code, stdout } = await process.outcome()
    expect(code).toBe(1)
    expect(stdout).toContain('[The machine crashed.]')
  })

  test.each([
    { name: 'SIGINT', expected: 130 },
    { name: 'SIGTERM', expected: 143 },
  ] as const)('is switched off by $name', async ({ name, expected }) => {
    await using process = CliProcess.run(['--kernel', kernel])
    await process.says('awaitvm guest ready')
    process.signal(name)
    expect((await process.outcome()).code).toBe(expected)
  })

  test('without console=ttyS0 gives a warning', async () => {
    await using process = CliProcess.run(['--kernel', kernel, '--append', 'quiet', '--memory', '16'])
    await process.says('awaitvm guest ready')
    process.signal('SIGINT')
    const { stderr } = await process.outcome()
    expect(stderr).toContain('no console=ttyS0')
    expect(stderr).toContain('with 16 MiB: quiet')
  })

  test('runs the piped input once it listens', { timeout: 240_000 }, async (context) => {
    const linux = await debianLinux()
    if (linux.unavailable !== undefined) {
      skipWithout(context, linux.unavailable)
      return
    }
    await using process = CliProcess.run(['--kernel', linux.kernel, '--initrd', linux.initrd])
    process.type('echo $((6*7))\nuname -m\npoweroff -f\n')
    process.endInput()
    const { code, stdout, stderr } = await process.outcome()
    expect(stdout).toMatch(/^42\r$/m)
    expect(stdout).toMatch(/^i[56]86\r$/m)
    expect(stderr).toContain('[The guest has powered off.]')
    expect(code).toBe(0)
  })
})
