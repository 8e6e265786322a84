import { writeFile } from 'node:fs/promises'
import { expect } from 'vitest'
import type { MediaConfig, VmConfig } from '../../../model/vm-config.js'
import { failureOf } from '../expect-failure.js'
import { refusedPathOf } from '../host.js'
import type { Cases } from '../case.js'
import type { Trial } from '../trial.js'

/** A file of the size of a floppy, by a name. */
async function imageOf(trial: Trial, name: string): Promise<string> {
  const file = trial.path(name)
  await writeFile(file, Buffer.alloc(1_474_560, 7))
  return file
}

/** Drives of CD-ROMs and floppies, with and without a medium. */
export const mediaDrives: Cases = ({ host, promises }) => {
  for (const kind of ['cdroms', 'floppies'] as const) {
    if (refusedPathOf(host, `spec.${kind}.image`) !== undefined) continue
    const imagesIn = (config: VmConfig): unknown[] => config[kind].map(({ image }) => image)
    const drives = (media: readonly MediaConfig[]): object => ({ [kind]: media })

    promises(
      `an empty drive (${kind}) is shown, and an edit inserts, ejects and takes it away`,
      ['server.createVm', 'vm.edit', 'vm.clone'],
      async (trial) => {
        const image = await imageOf(trial, 'image')
        const vm = await trial.createVm(drives([{}]))
        expect(imagesIn(vm.config)).toEqual([undefined])
        const edits: readonly (readonly MediaConfig[])[] = [[{ image }], [{}], [], [{}], [{ image }], []]
        for (const media of edits) {
          const edited = await vm.edit(drives(media)).unwrap()
          expect(imagesIn(edited)).toEqual(media.map((drive) => drive.image))
          expect(await vm.refresh().unwrap()).toEqual(edited)
        }
        const before = await vm.edit(drives([{}])).unwrap()
        expect(imagesIn(await vm.edit({ description: 'the drive stays' }).unwrap())).toEqual([undefined])
        const clone = await vm.clone({ name: trial.newName() }).unwrap()
        expect(imagesIn(clone.config)).toEqual([undefined])
        if (!host.keepsVms) return
        const server = await trial.reopen()
        expect((await server.getVm(vm.id).unwrap()).config[kind]).toEqual(before[kind])
      },
    )

    promises(
      `a snapshot has the media of its moment, and the empty drives (${kind})`,
      ['vm.edit', 'vm.createSnapshot', 'vm.switchToSnapshot'],
      async (trial) => {
        const image = await imageOf(trial, 'image')
        const vm = await trial.createVm(drives([{}]))
        const empty = await vm.createSnapshot({ name: 'empty' }).unwrap()
        await vm.edit(drives([{ image }])).unwrap()
        const full = await vm.createSnapshot({ name: 'full' }).unwrap()
        for (const [snapshot, media] of [
          [empty, [undefined]],
          [full, [image]],
        ] as const) {
          await vm.switchToSnapshot(snapshot).unwrap()
          expect(imagesIn(await vm.refresh().unwrap())).toEqual(media)
        }
      },
    )

    promises(
      `media of a running VM are inserted, changed and ejected, and its drives stay (${kind})`,
      ['vm.edit', 'vm.edit.live', 'vm.suspend', 'vm.resume', 'running VM'],
      async (trial) => {
        const [first, second] = [await imageOf(trial, 'first'), await imageOf(trial, 'second')]
        const vm = await trial.vmIn('running', drives([{}]))
        const turns: readonly (readonly MediaConfig[])[] = [
          [{ image: first }],
          [{ image: second }],
          [{}],
          [{ image: first }],
        ]
        for (const media of turns) {
          const edited = await vm.edit(drives(media)).unwrap()
          expect(imagesIn(edited)).toEqual(media.map(({ image }) => image))
          expect(await vm.refresh().unwrap()).toEqual(edited)
        }
        const before = vm.config
        for (const media of [[], [{ image: first }, {}]]) {
          const error = await failureOf(vm.edit({ ...drives(media), description: 'half of it' }), 'INVALID_STATE')
          expect(error.state).toBe('running')
          expect(error.hint).toContain(`${kind}: [{}]`)
        }
        expect(await vm.refresh().unwrap()).toEqual(before)
        await vm.edit(drives([{}])).unwrap()
        await vm.suspend().unwrap()
        expect(imagesIn(await vm.refresh().unwrap())).toEqual([undefined])
        await vm.resume().unwrap()
        await vm.stop({ mode: 'kill' }).unwrap()
        await vm.start().unwrap()
        expect(imagesIn(await vm.refresh().unwrap())).toEqual([undefined])
      },
    )
  }
}
