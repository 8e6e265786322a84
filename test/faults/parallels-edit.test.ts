import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type Server, type Vm, type VmChanges } from 'awaitvm'
import { expect, test } from 'vitest'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { PrlctlDouble } from '../support/prlctl-double.js'

interface Trial {
  readonly double: PrlctlDouble
  readonly server: Server
  readonly vm: Vm
  /** Changes that need one command each, or several. */
  readonly changes: VmChanges
}

/** The number of commands for the changes of a trial. */
const commandCount = 5

async function trial(run: (trial: Trial) => Promise<void>): Promise<void> {
  await using double = await PrlctlDouble.make()
  await using server = await connect(double.uri).unwrap()
  const [first, second] = [join(double.folder, 'first.iso'), join(double.folder, 'second.iso')]
  await writeFile(first, 'x')
  await writeFile(second, 'x')
  const spec = { name: 'web-1', description: 'before', memoryMiB: 512, disks: [{ sizeMiB: 64 }, { sizeMiB: 65 }] }
  const vm = await server.createVm({ ...spec, cdroms: [{ image: first }] }).unwrap()
  const changes: VmChanges = {
    name: 'renamed',
    description: '--cpus',
    cpus: 3,
    memoryMiB: 1024,
    disks: [...vm.config.disks, { sizeMiB: 66 }],
    cdroms: [{ image: second }, { image: first }],
    boot: { order: ['cdrom', 'disk'] },
  }
  await run({ double, server, vm, changes })
}

const wrong = 'Something is wrong with it.\nFailed to configure the virtual machine.'

test.each(Array.from({ length: commandCount }, (_, after) => after))(
  'an edit of which %i commands succeed changes nothing',
  async (after) => {
    await trial(async ({ double, server, vm, changes }) => {
      const before = await double.truth()
      await double.set({ failures: { set: { text: wrong, times: 1, after } } })
      await failureOf(vm.edit(changes), 'INVALID_ARGUMENT')
      expect(await double.truth()).toEqual(before)
      expect(await server.getVmList().unwrap()).toEqual([vm])
      expect(vm.name).toBe('web-1')
      await double.set({})
      expect(await vm.edit(changes).unwrap()).toMatchObject(changes)
    })
  },
)

test('an edit whose commands all succeed is complete', async () => {
  await trial(async ({ double, vm, changes }) => {
    await double.set({ failures: { set: { text: wrong, times: 1, after: commandCount } } })
    expect(await vm.edit(changes).unwrap()).toMatchObject(changes)
    const [{ settings } = { settings: undefined }] = await double.truth()
    expect(settings).toMatchObject({ cpus: 3, memory: 1024, bootOrder: 'cdrom0 hdd0' })
  })
})

test.each(['lost', 'silence'] as const)(
  'an edit whose answers do not come (%s) is complete or undone',
  async (ending) => {
    await trial(async ({ double, vm, changes }) => {
      await double.set({ endings: { set: ending } })
      // With one command, what can be seen of it decides.
      expect(await vm.edit({ description: 'after' }).unwrap()).toMatchObject({ description: 'after' })
      const before = await double.truth()
      await failureOf(vm.edit(changes), 'OUTCOME_UNKNOWN')
      expect(await double.truth()).toEqual(before)
    })
  },
)

test('settings that can not be undone are named', async () => {
  await trial(async ({ double, vm }) => {
    await double.set({ failures: { set: { text: wrong, times: 1, after: 2 } } })
    const error = await failureOf(
      vm.edit({ description: 'after', deleteDisks: vm.config.disks.map(({ id }) => id) }),
      'OUTCOME_UNKNOWN',
    )
    expect(error.message).toMatch(/not be undone: disks\./)
    expect(error.native?.message).toContain('Something is wrong')
    expect(await vm.refresh().unwrap()).toMatchObject({ description: 'before', disks: [{ sizeMiB: 64 }] })
  })
})

test('an edit that can neither be finished nor undone says so', async () => {
  await trial(async ({ double, vm, changes }) => {
    await double.set({ failures: { set: { text: wrong, times: 1000, after: 1 } } })
    const error = await failureOf(vm.edit(changes), 'OUTCOME_UNKNOWN')
    expect(error.message).toMatch(/not be undone: name, description, cpus, memoryMiB\./)
    await double.set({})
    expect(await vm.refresh().unwrap()).toMatchObject({ name: 'renamed', disks: [{ sizeMiB: 64 }, { sizeMiB: 65 }] })
  })
})

test('an edit during which the service stops names the settings that may have changed', async () => {
  await trial(async ({ double, vm, changes }) => {
    const text = 'Login failed: Unable to connect to Parallels Service.'
    await double.set({ failures: { set: { text, times: 1000, after: 1 }, list: { text, times: 1000, after: 1 } } })
    await failureOf(vm.edit(changes), 'OUTCOME_UNKNOWN')
    await double.set({ isServiceDown: true })
    await failureOf(vm.edit(changes), 'CONNECTION_FAILED')
  })
})

test('disks keep their ids when the names of their devices pass to others', async () => {
  await trial(async ({ double, vm }) => {
    await vm.edit({ disks: [...vm.config.disks, { sizeMiB: 64 }] }).unwrap()
    const [first, second, third] = vm.config.disks
    await vm.edit({ deleteDisks: [first!.id] }).unwrap()
    expect(vm.config.disks).toEqual([second, third])
    await failureOf(vm.edit({ deleteDisks: [first!.id] }), 'INVALID_ARGUMENT')
    const grown = { ...third!, sizeMiB: 70 }
    await vm.edit({ disks: [second!, grown] }).unwrap()
    expect((await vm.refresh().unwrap()).disks).toEqual([second, grown])
    const [{ settings } = { settings: undefined }] = await double.truth()
    expect(settings?.disks).toEqual([
      { size: 65, image: second!.id },
      { size: 70, image: third!.id },
    ])
    await vm.edit({ disks: [grown], deleteDisks: [second!.id] }).unwrap()
    expect((await vm.refresh().unwrap()).disks).toEqual([grown])
  })
})

test.each<[string, (vm: Vm) => VmChanges, readonly number[]]>([
  ['addition', ({ config }) => ({ disks: [...config.disks, { sizeMiB: 66 }] }), [64, 65, 66]],
  ['growth', ({ config: { disks } }) => ({ disks: [{ ...disks[0]!, sizeMiB: 66 }, disks[1]!] }), [66, 65]],
  ['deletion', ({ config }) => ({ deleteDisks: [config.disks[0]!.id] }), [65]],
])(
  'of the %s of a disk, whose answer does not come, the host itself tells that it was made',
  async (_what, changes, sizes) => {
    await trial(async ({ double, vm }) => {
      await double.set({ endings: { set: 'lost' } })
      const { disks } = await vm.edit(changes(vm)).unwrap()
      expect(disks.map(({ sizeMiB }) => sizeMiB)).toEqual(sizes)
    })
  },
)

test('a disk that can not grow is reported with the reason; a disk that has already grown stays so', async () => {
  const changesOf = ({ config }: Vm): VmChanges => ({
    description: 'after',
    disks: config.disks.map((disk) => ({ ...disk, sizeMiB: 70 })),
  })
  await trial(async ({ double, vm }) => {
    const before = vm.config
    await double.set({ failures: { set: { text: wrong, times: 1, after: 1 } } })
    expect((await failureOf(vm.edit(changesOf(vm)), 'INVALID_ARGUMENT')).message).toContain('Something is wrong')
    expect(await vm.refresh().unwrap()).toEqual(before)
  })
  await trial(async ({ double, vm }) => {
    const { description, disks } = vm.config
    await double.set({ failures: { set: { text: wrong, times: 1, after: 2 } } })
    const error = await failureOf(vm.edit(changesOf(vm)), 'OUTCOME_UNKNOWN')
    expect(error.message).toMatch(/not be undone: disks\./)
    const left = [{ ...disks[0], sizeMiB: 70 }, disks[1]]
    expect(await vm.refresh().unwrap()).toMatchObject({ description, disks: left })
  })
})
