import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type VmSpec } from 'awaitvm'
import { createSimulatedServer } from 'awaitvm/testing'
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'
import { missingQemu, skipWithout } from '../../support/optional-tool.js'
import { PrlctlDouble } from '../../support/prlctl-double.js'

/** The facade as it would be if it knew more settings than a host. */
vi.mock('../../../src/model/vm-spec.js', async (original) => {
  const { any } = await import('valibot')
  return { ...(await original<object>()), vmSpecSchema: any(), vmChangesSchema: any() }
})

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'awaitvm-settings-'))
  onTestFinished(() => rm(path, { recursive: true }))
  return path
}

async function parallels(): Promise<string> {
  const double = await PrlctlDouble.make()
  onTestFinished(() => double[Symbol.asyncDispose]())
  return double.uri
}

function simulated(): string {
  const fake = createSimulatedServer()
  onTestFinished(() => fake.server.close().unwrap())
  return fake.uri
}

interface Host {
  readonly missing?: string | undefined
  readonly uri: () => string | Promise<string>
  /** Settings that the host refuses as a whole. */
  readonly refused?: Readonly<Record<string, string>>
}

const hosts: Readonly<Record<string, Host>> = {
  'embedded:': { uri: () => 'embedded:', refused: { networkAdapters: 'networkAdapters', guest: 'guest' } },
  'embedded:///dir': {
    uri: async () => `embedded://${await folder()}`,
    refused: { networkAdapters: 'networkAdapters', guest: 'guest' },
  },
  'qmp:///dir': { missing: missingQemu, uri: async () => `qmp://${await folder()}` },
  'parallels:': {
    uri: parallels,
    refused: { networkAdapters: 'networkAdapters', floppies: 'floppies', guest: 'guest' },
  },
  'simulated:': { uri: simulated },
}

/** A setting that no host knows, in each part of the model. */
const additions: Readonly<Record<string, (file: string) => object>> = {
  added: () => ({ added: 'x' }),
  'disks[0].added': () => ({ disks: [{ sizeMiB: 1, added: { deep: true } }] }),
  'cdroms[0].added': (image) => ({ cdroms: [{ image, added: false }] }),
  'floppies[0].added': (image) => ({ floppies: [{ image, added: 0 }] }),
  'boot.added': () => ({ boot: { added: [] } }),
  'networkAdapters[0].added': () => ({ networkAdapters: [{ added: null }] }),
  'guest.added': () => ({ guest: { way: 'ssh', added: 'x' } }),
  'networkAdapters[0].portForwards[0].added': () => ({
    networkAdapters: [{ portForwards: [{ guestPort: 1, added: 'x' }] }],
  }),
}

describe.each(Object.entries(hosts))('%s', (_name, { missing, uri, refused = {} }) => {
  beforeEach((context) => {
    skipWithout(context, missing)
  })

  test.each(Object.entries(additions))(
    '%s is refused by its path, and nothing is made or changed',
    async (path, addition) => {
      const image = join(await folder(), 'image')
      await writeFile(image, Buffer.alloc(1_474_560, 7))
      await using server = await connect(await uri()).unwrap()
      const [setting = path] = path.split(/[.[]/)
      const settings = addition(image)

      const creation = await failureOf(server.createVm({ ...settings, name: 'web-1' }), 'NOT_SUPPORTED')
      expect(creation.path).toBe(`spec.${refused[setting] ?? path}`)
      expect(creation.message).toContain(creation.path)
      expect(await server.getVmList().unwrap()).toEqual([])

      const vm = await server.createVm({ name: 'web-1' }).unwrap()
      const before = await vm.refresh().unwrap()
      const edit = await failureOf(vm.edit({ ...settings, description: 'half of it' }), 'NOT_SUPPORTED')
      expect(edit.path).toBe(`changes.${refused[setting] ?? path}`)
      expect(await vm.refresh().unwrap()).toEqual(before)
    },
  )
})

/** A value of every setting that a host with a directory keeps. */
const settings = (image: string, others: Omit<VmSpec, 'name'>): Omit<VmSpec, 'name'> => ({
  description: 'before',
  memoryMiB: 32,
  disks: [{ sizeMiB: 1 }, { image, sizeMiB: 2 }],
  cdroms: [{ image }],
  floppies: [{ image }],
  boot: { firmware: image, videoFirmware: image, order: ['cdrom', 'disk'] },
  ...others,
})

describe.each([
  ['embedded', undefined, {}],
  [
    'qmp',
    missingQemu,
    {
      cpus: 2,
      networkAdapters: [
        {
          macAddress: '52:54:00:ab:cd:ef',
          outbound: true,
          portForwards: [{ guestPort: 22, hostPort: 40_022, protocol: 'udp' as const, hostAddress: '127.0.0.2' }],
        },
      ],
    },
  ],
])('%s', (scheme, missing, others) => {
  beforeEach((context) => {
    skipWithout(context, missing)
  })

  test('every setting is found again after an edit of another, a snapshot, a clone and by the next connection', async () => {
    const directory = await folder()
    const image = join(directory, 'image')
    await writeFile(image, Buffer.alloc(65_536, 7))
    const uri = `${scheme}://${join(directory, 'vms')}`
    const spec = settings(image, others)
    const { description: _description, ...hardware } = spec
    {
      await using server = await connect(uri).unwrap()
      const vm = await server.createVm({ ...spec, name: 'web-1' }).unwrap()
      expect(vm.config).toMatchObject(spec)
      await vm.edit({ description: 'after' }).unwrap()
      expect(vm.config).toMatchObject(hardware)
      const snapshot = await vm.createSnapshot({ name: 'one' }).unwrap()
      await vm
        .edit({
          boot: {},
          cdroms: [],
          floppies: [],
          networkAdapters: [],
          deleteDisks: vm.config.disks.map(({ id }) => id),
        })
        .unwrap()
      await vm.switchToSnapshot(snapshot.id).unwrap()
      expect(await vm.refresh().unwrap()).toMatchObject(hardware)
      const clone = await vm.clone({ name: 'web-2' }).unwrap()
      const { networkAdapters: [{ macAddress: _macAddress, ...adapter } = {}] = [], ...rest } = hardware
      expect(clone.config).toMatchObject(rest)
      if (hardware.networkAdapters !== undefined) expect(clone.config.networkAdapters).toMatchObject([adapter])
    }
    await using server = await connect(uri).unwrap()
    expect((await server.getVm('web-1').unwrap()).config).toMatchObject(hardware)
  })
})
