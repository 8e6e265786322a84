import { copyFile, rename, utimes, writeFile } from 'node:fs/promises'
import { expect } from 'vitest'
import type { MediaConfig } from '../../../model/vm-config.js'
import type { VmSpec } from '../../../model/vm-spec.js'
import { failureOf } from '../expect-failure.js'
import { refusedPathOf } from '../host.js'
import type { Cases } from '../case.js'
import type { Trial } from '../trial.js'

/** Sizes of floppy images. Other media may have any size. */
const floppyBytes = 1_474_560
const smallFloppyBytes = 737_280

type Promises = Parameters<Cases>[0]['promises']

const ofCopies = (promises: Promises): void => {
  promises('a disk does not need its image any more', ['vm.edit'], async (trial) => {
    const image = await Image.make(trial, 0x7e)
    const vm = await trial.createVm({ disks: [{ image: image.path }] })
    await image.putAside()
    const before = vm.config
    expect(await vm.edit({ disks: [...before.disks, { sizeMiB: 1 }] }).unwrap()).toMatchObject({
      disks: [...before.disks, { sizeMiB: 1 }],
    })
    await image.replace()
    expect((await vm.edit({ disks: [...vm.config.disks, { image: image.path }] }).unwrap()).disks).toHaveLength(3)
  })
}

/** Of disks whose images are read as long as they exist. */
const ofImagesBelow = (promises: Promises): void => {
  promises(
    'a disk whose image was overwritten is refused until the old image is back',
    ['vm.start', 'vm.clone', 'vm.edit', 'guest'],
    async (trial) => {
      const image = await Image.make(trial, 0x7e)
      const vm = await trial.createVm(withDisk(trial, image))
      await image.putAside()
      await image.replace()
      const before = await trial.opened.files?.()
      const error = await failureOf(vm.start(), 'INVALID_ARGUMENT')
      expect(error.path).toBe('config.disks[0].image')
      expect(error.message).toContain(image.path)
      expect(error.hint).toMatch(/touch -d \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z/)
      expect((await failureOf(vm.clone({ name: trial.newName() }), 'INVALID_ARGUMENT')).path).toBe(error.path)
      await trial.expectState(vm, 'stopped')
      expect(await trial.opened.files?.()).toEqual(before)
      await vm.edit({ description: 'still the same' }).unwrap()
      await image.putBack()
      const { guest } = await trial.startVm(vm)
      expect(await guest.readDisk()).toBe(0x7e)
    },
  )

  promises(
    'a clone, a snapshot and an edit remember the image that the disk starts from',
    ['vm.start', 'vm.clone', 'vm.edit', 'vm.createSnapshot', 'vm.switchToSnapshot', 'guest'],
    async (trial) => {
      const image = await Image.make(trial, 0x7e)
      const vm = await trial.createVm(withDisk(trial, image))
      const snapshot = await vm.createSnapshot({ name: 'first' }).unwrap()
      const clone = await vm.clone({ name: trial.newName() }).unwrap()
      await vm.edit({ disks: [...vm.config.disks, { sizeMiB: 1 }] }).unwrap()
      await image.putAside()
      await image.replace()
      for (const job of [() => clone.start(), () => vm.start(), () => vm.switchToSnapshot(snapshot.id)]) {
        await failureOf(job(), 'INVALID_ARGUMENT')
      }
      expect((await vm.refresh().unwrap()).disks).toHaveLength(2)
      const again = await trial.createVm(withDisk(trial, image))
      expect(await (await trial.startVm(again)).guest.readDisk()).toBe(0x41)
      await image.putBack()
      await vm.switchToSnapshot(snapshot.id).unwrap()
      for (const each of [vm, clone]) expect(await (await trial.startVm(each)).guest.readDisk()).toBe(0x7e)
    },
  )

  promises(
    "a new disk can't start from an image that was overwritten since another disk of the VM started from it",
    ['vm.edit'],
    async (trial) => {
      const image = await Image.make(trial, 0x7e)
      const vm = await trial.createVm({ disks: [{ image: image.path }] })
      await image.putAside()
      await image.replace()
      const error = await failureOf(vm.edit({ disks: [...vm.config.disks, { image: image.path }] }), 'INVALID_ARGUMENT')
      expect(error.path).toBe('changes.disks[1].image')
      expect(await vm.refresh().unwrap()).toEqual(vm.config)
    },
  )

  promises(
    'a suspended VM is not resumed if its image was overwritten',
    ['vm.suspend', 'vm.resume', 'guest'],
    async (trial) => {
      const image = await Image.make(trial, 0x7e)
      const { vm, guest } = await trial.runningVm(withDisk(trial, image))
      await guest.count()
      await vm.suspend().unwrap()
      await image.putAside()
      await image.replace()
      expect((await failureOf(vm.resume(), 'INVALID_ARGUMENT')).path).toBe('config.disks[0].image')
      await trial.expectState(vm, 'suspended')
      await image.putBack()
      await vm.resume().unwrap()
      const resumed = trial.talkTo(vm)
      expect(await resumed.count()).toBe(2)
      expect(await resumed.readDisk()).toBe(0x7e)
    },
  )

  promises(
    'a switch to a snapshot whose image was overwritten or removed leaves the VM unchanged',
    ['vm.createSnapshot', 'vm.switchToSnapshot', 'guest'],
    async (trial) => {
      const image = await Image.make(trial, 0x7e)
      const { vm, guest } = await trial.runningVm(withDisk(trial, image))
      const { id } = await vm.createSnapshot({ name: 'running' }).unwrap()
      await guest.writeDisk(0x11)
      for (const spoil of [() => image.putAside(), () => image.replace()]) {
        await spoil()
        const error = await failureOf(vm.switchToSnapshot(id), 'INVALID_ARGUMENT')
        expect(error.path).toBe('snapshot.disks[0].image')
        await trial.expectState(vm, 'running')
        expect(await guest.readDisk()).toBe(0x11)
      }
      await image.putBack()
      await vm.switchToSnapshot(id).unwrap()
      expect(await trial.talkTo(vm).readDisk()).toBe(0x7e)
    },
  )
}

/** Files that VMs use and that belong to the user. */
export const images: Cases = ({ host, promises }) => {
  if (refusedPathOf(host, 'spec.disks.image') !== undefined) return

  if (host.copiesImages) ofCopies(promises)
  else ofImagesBelow(promises)

  for (const [title, use] of Object.entries(missing)) {
    promises(
      `the memory of a guest is not saved if ${title} was removed or overwritten`,
      ['vm.suspend', 'vm.resume', 'vm.createSnapshot', 'guest'],
      async (trial) => {
        const image = await Image.make(trial, 0x7e)
        const { path, spec } = await use(trial, image)
        const { vm, guest } = await trial.runningVm({ ...trial.profile.specWithDisk, ...spec })
        await guest.count()
        for (const [state, prepare] of [
          ['running', () => undefined],
          ['paused', () => vm.pause().unwrap()],
        ] as const) {
          await prepare()
          await image.putAside()
          for (const spoil of [() => undefined, () => image.replace()]) {
            await spoil()
            for (const job of [() => vm.suspend(), () => vm.createSnapshot({ name: 'lost' })]) {
              const error = await failureOf(job(), 'INVALID_ARGUMENT')
              expect(error.path).toBe(path)
              expect(error.hint).toContain('Put the file back')
              await trial.expectState(vm, state)
            }
          }
          await image.putBack()
        }
        expect(await vm.getSnapshotTree().unwrap()).toEqual([])
        await vm.suspend().unwrap()
        await vm.resume().unwrap()
        expect(await trial.talkTo(vm).count()).toBe(2)
      },
    )

    promises(
      `the error names ${title} that was removed, and nothing is changed`,
      ['vm.start', 'vm.restart', 'vm.edit', 'guest'],
      async (trial) => {
        const image = await Image.make(trial, 0x7e)
        const { path, spec } = await use(trial, image)
        const vm = await trial.createVm({ ...trial.profile.specWithDisk, ...spec })
        await image.putAside()
        const error = await failureOf(vm.start(), 'INVALID_ARGUMENT')
        expect(error.path).toBe(path)
        expect(error.message).toContain(`${image.path} is not there`)
        expect(error.hint).toContain('Put the file back')
        await trial.expectState(vm, 'stopped')
        await vm.edit({ description: 'of no matter', networkAdapters: [] }).unwrap()

        await image.putBack()
        const { guest } = await trial.startVm(vm)
        await guest.count()
        await image.putAside()
        expect((await failureOf(vm.restart(), 'INVALID_ARGUMENT')).path).toBe(path)
        await trial.expectState(vm, 'running')
        expect(await guest.count()).toBe(2)
      },
    )
  }

  promises(
    'a medium or a kernel that was overwritten is used at the next start',
    ['vm.start', 'vm.stop', 'guest'],
    async (trial) => {
      for (const use of [missing['a CD-ROM'], missing['a floppy'], missing['a kernel']]) {
        const image = await Image.make(trial, 0x7e)
        const { spec } = await use(trial, image)
        const vm = await trial.createVm({ ...trial.profile.specWithDisk, ...spec })
        await image.touch()
        for (let round = 0; round < 2; round += 1) {
          await trial.startVm(vm)
          await vm.stop({ mode: 'kill' }).unwrap()
        }
      }
    },
  )

  for (const kind of ['cdroms', 'floppies'] as const) {
    promises(
      `a suspended VM whose ${kind} are removed or replaced by an edit can be resumed`,
      ['vm.suspend', 'vm.resume', 'vm.edit', 'guest'],
      async (trial) => {
        const image = await Image.make(trial, 0x7e)
        const other = await Image.make(trial, 0x42, smallFloppyBytes)
        const { vm, guest } = await trial.runningVm({
          ...trial.profile.specWithDisk,
          [kind]: [{ image: image.path }],
        })
        await guest.writeDisk(0x11)
        await vm.suspend().unwrap()
        await image.putAside()
        const turns: readonly (readonly MediaConfig[])[] = [[{ image: other.path }], [{}]]
        for (const media of turns) {
          expect((await failureOf(vm.resume(), 'INVALID_ARGUMENT')).path).toBe(`config.${kind}[0].image`)
          await trial.expectState(vm, 'suspended')
          await failureOf(vm.edit({ [kind]: [] }), 'INVALID_STATE')
          expect((await vm.edit({ [kind]: media }).unwrap())[kind].map(mediumIn)).toEqual(media.map(mediumIn))
          await vm.resume().unwrap()
          expect(await trial.talkTo(vm).readDisk()).toBe(0x11)
          await vm.suspend().unwrap()
          if (media.some(({ image }) => image !== undefined)) {
            await other.putAside()
            await other.replace()
          }
        }
        await vm.edit({ [kind]: [{ image: other.path }] }).unwrap()
        await vm.resume().unwrap()
        await vm.stop({ mode: 'kill' }).unwrap()
        expect(await (await trial.startVm(vm)).guest.readDisk()).toBe(0x11)
      },
    )
  }
}

const mediumIn = ({ image }: MediaConfig): string | undefined => image

/** VMs that need an image, by the setting that names it. */
const missing = {
  'the image of a disk': async (trial: Trial, image: Image) => ({
    path: 'config.disks[0].image',
    spec: withDisk(trial, image),
  }),
  'a CD-ROM': async (_trial: Trial, image: Image) => ({
    path: 'config.cdroms[0].image',
    spec: { cdroms: [{ image: image.path }] },
  }),
  'a floppy': async (_trial: Trial, image: Image) => ({
    path: 'config.floppies[0].image',
    spec: { floppies: [{ image: image.path }] },
  }),
  'a kernel': async ({ profile }: Trial, image: Image) => {
    const kernel = profile.specWithDisk.boot?.kernel
    if (kernel === undefined) throw new Error('The guest of this profile has no kernel')
    await copyFile(kernel, image.path)
    return { path: 'config.boot.kernel', spec: { boot: { kernel: image.path } } }
  },
} satisfies Record<string, (trial: Trial, image: Image) => Promise<{ path: string; spec: Omit<VmSpec, 'name'> }>>

const withDisk = ({ profile }: Trial, { path }: Image): Omit<VmSpec, 'name'> => ({
  ...profile.specWithDisk,
  disks: [{ image: path }],
})

/** A file that is filled with one byte, and that a case overwrites or removes. */
class Image {
  readonly path: string
  readonly #aside: string
  readonly #sizeBytes: number

  private constructor(path: string, sizeBytes: number) {
    this.path = path
    this.#aside = `${path}.aside`
    this.#sizeBytes = sizeBytes
  }

  static async make(trial: Trial, byte: number, sizeBytes = floppyBytes): Promise<Image> {
    const image = new Image(trial.path(`image-${trial.newName()}`), sizeBytes)
    await image.#fill(byte)
    return image
  }

  /** Moves it away; `putBack` restores it. */
  async putAside(): Promise<void> {
    await rename(this.path, this.#aside)
  }

  async putBack(): Promise<void> {
    await rename(this.#aside, this.path)
  }

  /** Another file of the same size takes its place. */
  async replace(): Promise<void> {
    await this.#fill(0x41)
  }

  /** Changes its modification time, and keeps its content. */
  async touch(): Promise<void> {
    await utimes(this.path, 1, 1)
  }

  async #fill(byte: number): Promise<void> {
    await writeFile(this.path, Buffer.alloc(this.#sizeBytes, byte))
  }
}
