import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'awaitvm'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { builtInGuest } from '../../src/drivers/embedded/machine/guest.js'
import { namesIn } from '../../src/registry/names-in.js'
import { Child } from '../support/child-process.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { qemusIn } from '../support/qemu-processes.js'

const hosts = [
  { scheme: 'embedded', missing: undefined, afterDeath: 'stopped' },
  { scheme: 'qmp', missing: missingQemu, afterDeath: 'running' },
] as const

/** Each is shown before it is done. */
const moments = ['create', 'start', 'clone', 'give back', 'dispose'] as const

describe.each(hosts)('ephemeral VMs of $scheme:///dir whose process is killed', ({ scheme, missing, afterDeath }) => {
  beforeEach((context) => {
    skipWithout(context, missing)
  })

  async function open(): Promise<{ directory: string; uri: string; kernel: string }> {
    const folder = await mkdtemp(join(tmpdir(), 'awaitvm-ephemeral-'))
    const directory = join(folder, 'vms')
    onTestFinished(async () => {
      for (const pid of await qemusIn(directory)) process.kill(pid, 'SIGKILL')
      await rm(folder, { recursive: true, force: true, maxRetries: 3 })
    })
    const kernel = join(folder, 'guest.bin')
    await writeFile(kernel, builtInGuest())
    return { directory, uri: `${scheme}://${directory}`, kernel }
  }

  /** Nothing of any ephemeral VM is left. */
  async function expectNone(directory: string): Promise<void> {
    for (const folder of ['vms', 'unfinished', 'ephemeral']) expect(await namesIn(join(directory, folder))).toEqual([])
    expect(await qemusIn(directory)).toEqual([])
  }

  test('they are deleted by the next connection, and not by one that is there already', async () => {
    const { directory, uri, kernel } = await open()
    await using present = await connect(uri).unwrap()
    const kept = await present.createVm({ name: 'kept' }).unwrap()
    const child = new Child('host-child.ts', [uri, 'obey', kernel])
    await child.printed('ready')
    child.send('ephemeral web-1')
    child.send('start web-1')
    await child.printed('did start web-1')

    const living = await connect(uri).unwrap()
    const vm = await living.getVm('web-1').unwrap()
    expect(vm).toMatchObject({ state: 'running', config: { ephemeral: true } })
    await living.close().unwrap()
    expect(await readdir(join(directory, 'vms'))).toHaveLength(2)

    await child.kill()
    expect((await present.getVm('web-1').unwrap()).state).toBe(afterDeath)
    await using next = await connect(uri).unwrap()
    expect((await next.getVmList().unwrap()).map(({ name }) => name)).toEqual(['kept'])
    await next.createVm({ name: 'web-1', ephemeral: true }).unwrap()
    await kept.delete().unwrap()
    await next.close().unwrap()
    await expectNone(directory)
  })

  test.each(moments)('one that is killed at "%s" leaves none after the next connection', async (moment) => {
    const { directory, uri, kernel } = await open()
    const child = new Child('host-child.ts', [uri, 'pass', kernel])
    await child.printed(moment)
    await child.kill()
    await using next = await connect(uri).unwrap()
    const vms = await next.getVmList().unwrap()
    // An edit may just have kept the clone.
    expect(vms.filter(({ config, name }) => config.ephemeral === true || !name.endsWith('-clone'))).toEqual([])
    for (const vm of vms) await vm.delete({ force: true }).unwrap()
    await expectNone(directory)
  })

  test('one that is killed while another connection deletes what it left is no harm', async () => {
    const { directory, uri, kernel } = await open()
    const child = new Child('host-child.ts', [uri, 'obey', kernel])
    await child.printed('ready')
    for (const name of ['web-1', 'web-2', 'web-3']) {
      child.send(`ephemeral ${name}`)
      child.send(`start ${name}`)
      await child.printed(`did start ${name}`)
    }
    await child.kill()
    const seconds = [1, 2].map(() => new Child('host-child.ts', [uri]))
    await Promise.race(seconds.map((second) => second.printed('ready')))
    await Promise.all(seconds.map((second) => second.kill()))
    await (await connect(uri).unwrap()).close().unwrap()
    await expectNone(directory)
  })
})
