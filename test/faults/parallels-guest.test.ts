import { readdir } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { connect, type Server, type Vm } from 'awaitvm'
import { describe, expect, test } from 'vitest'
import { within } from '../../src/testing/conformance/deadline.js'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { PrlctlDouble } from '../support/prlctl-double.js'

interface Trial {
  readonly double: PrlctlDouble
  readonly server: Server
  readonly vm: Vm
}

/** Runs a case in the guest of a VM, and asserts that it leaves no program behind on the host. */
function inGuest(
  title: string,
  run: (trial: Trial) => Promise<void>,
  flavour: 'desktop' | 'virtuozzo' = 'desktop',
): void {
  test(title, async () => {
    await using double = await PrlctlDouble.make({ flavour })
    const server = await connect(double.uri).unwrap()
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    await vm.start().unwrap()
    await run({ double, server, vm })
    await within(server.close().unwrap(), () => 'the close')
    expect(await double.processes()).toEqual([])
  })
}

/** Waits until the process has gone. */
async function gone(pid: number): Promise<void> {
  const wait = async (): Promise<void> => {
    for (;;) {
      try {
        process.kill(pid, 0)
      } catch {
        return
      }
      await setImmediate()
    }
  }
  await within(wait(), () => `the end of process ${pid}`)
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe.each(['with-outputs', 'with-program'] as const)('if exec ends %s', (execEnds) => {
  inGuest('a child in the background does not hold its program, and ends with the connection', async (trial) => {
    const { double, server, vm } = trial
    await double.set({ execEnds })
    const { stdout, exitCode } = await within(
      vm.guest.exec('sleep 600 & echo "$!"; exit 3').unwrap(),
      () => 'the end of the program',
    )
    const child = Number(stdout)
    expect(exitCode).toBe(3)
    if (execEnds === 'with-outputs') expect(isAlive(child)).toBe(true)
    await server.close().unwrap()
    if (isAlive(child) && execEnds === 'with-program') process.kill(child, 'SIGKILL')
    await gone(child)
  })
})

inGuest('a cancelled program ends with its children and its daemons', async ({ vm }) => {
  const job = vm.guest.exec(`echo "$$"; (setsid sh -c 'echo "$$"; sleep 600; true' &)
    sh -c 'echo "$$"; sleep 600; true' & wait`)
  const pids: number[] = []
  for await (const { data } of job.output()) {
    pids.push(...data.trim().split('\n').map(Number))
    if (pids.length === 3) void job.cancel()
  }
  await failureOf(job, 'JOB_CANCELLED')
  await Promise.all(pids.map(gone))
})

inGuest('the outcome of a program is unknown if its guest can not be asked whether it was stopped', async (trial) => {
  const { double, vm } = trial
  const job = vm.guest.exec('echo begun; exec sleep 600')
  for await (const { data } of job.output()) {
    expect(data).toBe('begun\n')
    await double.set({ failures: { exec: { text: 'Unable to open new session in this virtual machine.', times: 9 } } })
    await failureOf(job.cancel(), 'JOB_NOT_CANCELABLE', 'OUTCOME_UNKNOWN')
    break
  }
  await failureOf(job, 'OUTCOME_UNKNOWN')
})

inGuest('a signal that shells hide is told if it was sent', async ({ vm }) => {
  const job = vm.guest.exec('echo ready; exec sleep 600')
  for await (const { stream } of job.output()) if (stream === 'stdout') await job.kill('SIGINT').unwrap()
  expect(await job.unwrap()).toMatchObject({ exitCode: undefined, signal: 'SIGINT' })
  await failureOf(job.kill(), 'JOB_FINISHED')
  expect(await vm.guest.exec('exit 130').unwrap()).toMatchObject({ exitCode: 130 })
})

const placed = async (): Promise<readonly string[]> =>
  (await readdir('/tmp')).filter((name) => /^\.awaitvm-[0-9a-f]{18}\.\d+$/.test(name))

inGuest('a command line that makes Parallels Desktop hang reaches the guest in pieces', async ({ vm }) => {
  const word = `it's "quoted" $HOME \\ 虚拟机 🚀\n`.repeat(400)
  const result = await vm.guest.exec(['printf', '%s', word, 'end'], { env: { WORD: word } }).unwrap()
  expect(result).toMatchObject({ exitCode: 0, stdout: `${word}end`, stderr: '' })
  expect(await placed()).toEqual([])
  const error = await failureOf(
    vm.guest.exec(['echo', ...Array.from({ length: 4 }, () => 'x'.repeat(50_000))]),
    'INVALID_ARGUMENT',
  )
  expect(error.path).toBe('command')
  expect(error.hint).toContain('writeFile')
})

inGuest('a program that is cancelled while its command line is placed has not run', async ({ double, vm }) => {
  const job = vm.guest.exec(['printf', '%s', 'x'.repeat(20_000)])
  await within(
    (async () => {
      while ((await placed()).length === 0) await setImmediate()
    })(),
    () => 'the first piece',
  )
  await job.cancel()
  await failureOf(job, 'JOB_CANCELLED')
  expect(await placed()).toEqual([])
  expect((await double.truth()).length).toBe(1)
})

const losses = ['begin of stdout', 'end of stdout', 'begin of stderr', 'end of stderr'] as const

for (const execLoses of losses) {
  inGuest(`a program that loses the ${execLoses} ends as truncated`, async ({ double, vm }) => {
    await double.set({ execLoses })
    const job = vm.guest.exec('echo out; echo err >&2; read -r word; echo "$word"; echo "$word" >&2; exit 7', {
      input: 'more',
    })
    expect(await within(job.unwrap(), () => 'the end')).toMatchObject({ exitCode: 7, isTruncated: true })
  })
}

inGuest('a file is written as a whole or not at all if standard input gets lost', async ({ double, vm }) => {
  const folder = (await vm.guest.exec('mktemp -d').unwrap()).stdout.trim()
  await double.set({ execLoses: 'stdin' })
  await failureOf(vm.guest.writeFile(`${folder}/file`, 'content'), 'HOST_ERROR', 'OUTCOME_UNKNOWN')
  await double.set({})
  expect(await vm.guest.readdir(folder).unwrap()).toEqual([])
  await vm.guest.rm(folder, { recursive: true }).unwrap()
})

inGuest('a program that has ended is not held by a prlctl that hangs', async ({ double, vm }) => {
  await double.set({ endings: { exec: 'hang' } })
  expect(await within(vm.guest.exec('exit 5').unwrap(), () => 'the end')).toMatchObject({ exitCode: 5 })
})

inGuest('a question that prlctl does not pass on is asked again', async ({ double, vm }) => {
  await double.set({ emptyExec: 2 })
  expect(await vm.guest.exists('/').unwrap()).toBe(true)
})
