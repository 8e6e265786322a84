import { existsSync } from 'node:fs'
import { mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type Job, type Vm } from 'awaitvm'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ConsoleReader } from '../../src/testing/conformance/console-reader.js'
import { soon } from '../../src/testing/conformance/deadline.js'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { bootAgentGuest, untilAgentAnswers } from '../support/agent-guest.js'
import { debianWithAgent } from '../support/debian-with-agent.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'
import { SocketProxy } from '../support/socket-proxy.js'
import { whatIsInGuest } from '../support/what-is-in-guest.js'

let unavailable: string | undefined
let host: QmpHost
let vm: Vm
let console: ConsoleReader
let agentPort: SocketProxy
let dataPort: SocketProxy

/** Starts the agent again, as a service does. */
const startAgent = 'sh /run/agent &'

beforeAll(async () => {
  unavailable = missingQemu ?? (await debianWithAgent()).unavailable
  if (unavailable !== undefined) return
  host = await QmpHost.open()
  ;({ vm, console } = await bootAgentGuest(host, { memoryMiB: 1024 }))
  const prepare = `echo "exec $(tr '\\0' ' ' </proc/$(pidof qemu-ga)/cmdline)" >/run/agent
    mkdir /root/folder; for name in file folder/file; do dd if=/dev/null of=/root/$name bs=1 seek=1073741824; done`
  await vm.guest.exec(prepare, { check: true }).unwrap()
  await mkdir(join(host.folder, 'folder'))
  for (const name of ['file', join('folder', 'file')]) {
    await using file = await open(join(host.folder, name), 'w')
    await file.truncate(2 ** 30)
  }
  agentPort = await SocketProxy.inPlaceOf(join(host.folderOf(vm), 'agent.sock'))
  dataPort = await SocketProxy.inPlaceOf(join(host.folderOf(vm), 'bulk.sock'))
}, 300_000)
afterAll(async () => {
  if (unavailable !== undefined) return
  await host[Symbol.asyncDispose]()
  for (const port of [agentPort, dataPort]) await port[Symbol.asyncDispose]()
})
beforeEach((context) => {
  skipWithout(context, unavailable)
})

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) yield await Promise.resolve(Buffer.alloc(65_536))
}

const timeout = 180_000

type Work = (reached: () => void) => Job<unknown>

const copyIn =
  (name: string): Work =>
  (reached) =>
    vm.guest.copyIn(join(host.folder, name), '/root/copy', {
      onProgress: ({ percent }) => percent > 0 && reached(),
    })

const copyOut =
  (name: string): Work =>
  (reached) =>
    vm.guest.copyOut(`/root/${name}`, join(host.folder, 'copy'), {
      onProgress: ({ percent }) => percent > 0 && reached(),
    })

/** What is done in the guest. It tells once it is under way, and does not end by itself for some time. */
const works: readonly (readonly [name: string, work: Work])[] = [
  ['a program that prints', (onOutput) => vm.guest.exec('yes', { onOutput, maxOutputBytes: 0 })],
  [
    'a program that reads',
    (onOutput) =>
      vm.guest.exec('head -c 100000 >/dev/null; echo begun; cat >/dev/null; sleep 2001', {
        onOutput,
        input: endless(),
      }),
  ],
  ['a copy of a file into the guest', copyIn('file')],
  ['a copy of a folder into the guest', copyIn('folder')],
  ['a copy of a file out of the guest', copyOut('file')],
  ['a copy of a folder out of the guest', copyOut('folder')],
]

/** The job of the work, once that is under way. */
async function underWay(work: Work): Promise<Job<unknown>['ref']> {
  let reached = (): void => undefined
  const isReached = new Promise<void>((resolve) => (reached = resolve))
  const job = work(reached)
  await Promise.race([isReached, job])
  return job.ref
}

/** Nothing is under the final name, and soon nothing else is left, either. */
async function expectNothingLeft(before: readonly string[]): Promise<void> {
  expect(await vm.guest.exists('/root/copy').unwrap()).toBe(false)
  expect(existsSync(join(host.folder, 'copy'))).toBe(false)
  const added = async (): Promise<string[]> => (await whatIsInGuest(vm)).filter((line) => !before.includes(line))
  await vi.waitFor(async () => expect(await added()).toEqual([]), soon)
}

test('the first copy of a connection takes the port for data', { timeout }, async () => {
  await using server = await connect(host.uri).unwrap()
  const size = 2 ** 20
  const from = join(host.folder, 'first')
  await writeFile(from, Buffer.alloc(size))
  const before = dataPort.passed
  const { guest } = await server.getVm(vm.id).unwrap()
  await guest.copyIn(from, '/root/first').unwrap()
  expect(dataPort.passed - before).toBeGreaterThanOrEqual(size)
  await guest.rm('/root/first').unwrap()
})

describe.each(works)('%s', (name, work) => {
  test.each([
    ['is killed', ''],
    ['is killed and started again at once', startAgent],
  ])('whose agent %s has an unknown outcome, and leaves nothing', { timeout }, async (_what, service) => {
    const before = await whatIsInGuest(vm)
    const job = await underWay(work)
    console.send(`kill -9 $(pidof qemu-ga); ${service}`)
    await failureOf(job.wait(), 'OUTCOME_UNKNOWN')
    if (service === '') {
      await failureOf(vm.guest.exec(['true']), 'GUEST_UNAVAILABLE')
      console.send(startAgent)
    }
    await untilAgentAnswers(vm)
    await expectNothingLeft(before)
  })

  // What comes out by the port for data needs no agent until its end.
  test.runIf(!name.endsWith('out of the guest'))(
    'whose agent hangs waits for it, and can be cancelled afterwards',
    { timeout },
    async () => {
      const before = await whatIsInGuest(vm)
      const job = await underWay(work)
      // So long that no answer is under way any more.
      await console.ask('kill -STOP $(pidof qemu-ga); sleep 1; echo stop""ped', 'stopped')
      await failureOf(vm.guest.exec(['true']), 'GUEST_UNAVAILABLE')
      expect(job.status).toBe('unknown')
      await console.ask('kill -CONT $(pidof qemu-ga); echo a""wake', 'awake')
      await job.cancel().unwrap()
      await failureOf(job.wait(), 'JOB_CANCELLED')
      await expectNothingLeft(before)
    },
  )

  test('whose connection to the agent is cut goes on by a new one', { timeout }, async () => {
    const before = await whatIsInGuest(vm)
    const job = await underWay(work)
    agentPort.cut()
    expect((await vm.guest.exec(['echo', 'hello']).unwrap()).stdout).toBe('hello\n')
    await job.cancel().unwrap()
    await failureOf(job.wait(), 'JOB_CANCELLED')
    await expectNothingLeft(before)
  })

  test.runIf(name.startsWith('a copy'))(
    'whose port for data is cut fails, and leaves nothing',
    { timeout },
    async () => {
      const before = await whatIsInGuest(vm)
      const job = await underWay(work)
      dataPort.cut()
      await failureOf(job.wait(), 'HOST_ERROR')
      await expectNothingLeft(before)
    },
  )
})
