import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Child } from '../support/child-process.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'

/** Runs a program that may have so many files open at a time. */
const limited = ['sh', '-c', 'ulimit -n 128; exec "$@"', 'sh']

async function obey(child: Child, ...lines: string[]): Promise<void> {
  for (const line of lines) {
    child.send(line)
    await child.printed(`did ${line}`)
  }
}

test('QEMU: a process that has no descriptor left goes on, and tells what happened in the meantime', async (context) => {
  skipWithout(context, missingQemu)
  await using host = await QmpHost.open()
  const [crashing, paused] = [await host.createVm({ name: 'web-1' }), await host.createVm({ name: 'web-2' })]
  await using child = new Child('host-child.ts', [host.uri, 'watch'], limited)
  await child.printed('ready')
  await obey(child, 'start web-1', 'start web-2')
  await child.printed('state web-1 running')
  await obey(child, 'exhaust')
  process.kill(await host.pidOf(crashing), 'SIGKILL')
  await crashing.waitForState('crashed').unwrap()
  await paused.pause().unwrap()
  const made = await host.createVm({ name: 'web-3' })
  await made.start().unwrap()
  await obey(child, 'pass')
  expect(child.lines).not.toContain('state web-1 crashed')
  await obey(child, 'free')
  for (const line of ['state web-1 crashed', 'state web-2 paused']) await child.printed(line)
  await made.pause().unwrap()
  await child.printed('state web-3 paused')
  await obey(child, 'start again web-1', 'close x')
  expect(child.lines.filter((line) => line.includes('stopping'))).toEqual([])
})

test('embedded: a process that has no descriptor left goes on', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'awaitvm-exhausted-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  await using child = new Child('host-child.ts', [`embedded://${directory}`, 'watch'], limited)
  await child.printed('ready')
  await obey(
    child,
    'create web-1',
    'start web-1',
    'exhaust',
    'pass',
    'free',
    'pause web-1',
    'resume web-1',
    'kill web-1',
  )
  await obey(child, 'close x')
})
