import { mkdir, open, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { expect } from 'vitest'
import { diskFileFormats, type DiskFileFormat } from '../../../model/disk-file-format.js'
import type { Vm } from '../../../vm.js'
import { failureOf } from '../expect-failure.js'
import { refusedPathOf } from '../host.js'
import { needsOf, reachableStates } from '../reachable-states.js'
import type { Cases } from '../case.js'
import type { Trial } from '../trial.js'

const mebibyte = 2 ** 20

/** What files of each format have at a place. */
const marks: Readonly<Record<Exclude<DiskFileFormat, 'raw'>, readonly [offset: number, text: string]>> = {
  qcow2: [0, 'QFI\xfb'],
  vmdk: [0, 'KDMV'],
  vhdx: [0, 'vhdxfile'],
  vdi: [0x40, '\x7f\x10\xda\xbe'],
  vhd: [0, 'conectix'],
}

/** The first disk of a VM. */
const diskOf = (vm: Vm): string => vm.config.disks[0]?.id ?? 'none'

/** A folder for files, with nothing in it. */
async function newFolder(trial: Trial): Promise<string> {
  const folder = trial.path(trial.newName())
  await mkdir(folder)
  return folder
}

export const exportDisk: Cases = ({ host, promises }) => {
  const writesFiles = !host.hasPaperFiles

  for (const state of reachableStates(host)) {
    promises(
      `a disk of a ${state} VM is exported as one file, and the VM stays as it is`,
      ['vm.exportDisk', ...needsOf(state)],
      async (trial) => {
        const vm = await trial.vmIn(state, trial.profile.specWithDisk)
        const folder = await newFolder(trial)
        await vm.exportDisk(diskOf(vm), join(folder, 'disk.raw')).unwrap()
        await trial.expectState(vm, state)
        if (!writesFiles) return
        expect(await readdir(folder)).toEqual(['disk.raw'])
        await using file = await open(join(folder, 'disk.raw'))
        const { size, mode } = await file.stat()
        expect(size).toBe((vm.config.disks[0]?.sizeMiB ?? 0) * mebibyte)
        if (process.platform !== 'win32') expect(mode & 0o777).toBe(0o600)
      },
    )
  }

  promises(
    'an export of a disk that the VM does not have is refused, and so are other arguments that are wrong',
    ['vm.exportDisk'],
    async (trial) => {
      const vm = await trial.createVm(trial.profile.specWithDisk)
      const folder = await newFolder(trial)
      const path = join(folder, 'disk.raw')
      const other = await trial.createVm(trial.profile.specWithDisk)
      for (const [wrong, job] of [
        ['diskId', () => vm.exportDisk('no-such-disk', path)],
        ['diskId', () => vm.exportDisk(diskOf(other), path)],
        ['diskId', () => vm.exportDisk('', path)],
        ['path', () => vm.exportDisk(diskOf(vm), 'disk.raw')],
        ['options.format', () => vm.exportDisk(diskOf(vm), path, { format: 'iso' as 'raw' })],
        ['options.compress', () => vm.exportDisk(diskOf(vm), path, { compress: true })],
      ] as const) {
        expect((await failureOf(job(), 'INVALID_ARGUMENT')).path).toBe(wrong)
      }
      expect(await readdir(folder)).toEqual([])
      await trial.expectState(vm, 'stopped')
    },
  )

  promises('a disk is exported in each format', ['vm.exportDisk', 'vm.exportDisk.formats'], async (trial) => {
    const vm = await trial.createVm(trial.profile.specWithDisk)
    const folder = await newFolder(trial)
    for (const format of diskFileFormats) {
      await vm.exportDisk(diskOf(vm), join(folder, format), { format }).unwrap()
      if (!writesFiles || format === 'raw') continue
      const [offset, text] = marks[format]
      const content = await readFile(join(folder, format))
      expect(content.toString('latin1', offset, offset + text.length), format).toBe(text)
    }
  })

  if (!writesFiles) return

  promises('an export replaces nothing, and needs a folder that is there', ['vm.exportDisk'], async (trial) => {
    const vm = await trial.createVm(trial.profile.specWithDisk)
    const folder = await newFolder(trial)
    const [file, link] = [join(folder, 'file'), join(folder, 'link')]
    await writeFile(file, 'kept')
    await symlink(join(folder, 'nothing'), link)
    for (const path of [file, link, folder]) {
      const error = await failureOf(vm.exportDisk(diskOf(vm), path), 'ALREADY_EXISTS')
      expect(error.message).toContain(path)
      expect(error.hint).toBeTruthy()
    }
    for (const path of [join(folder, 'none', 'disk.raw'), join(file, 'disk.raw')]) {
      const error = await failureOf(vm.exportDisk(diskOf(vm), path), 'INVALID_ARGUMENT')
      expect(error.path).toBe('path')
    }
    expect((await readdir(folder)).sort()).toEqual(['file', 'link'])
    expect(await readFile(file, 'utf8')).toBe('kept')
    await trial.expectState(vm, 'stopped')
  })

  promises(
    'an export that is cancelled at any moment leaves a whole file or none, and one that succeeds is whole',
    ['vm.exportDisk'],
    async (trial) => {
      const vm = await trial.createVm(trial.profile.specWithDisk)
      const folder = await newFolder(trial)
      for (let turns = 0; turns < 200; turns = turns * 2 + 1) {
        const name = String(turns)
        const job = vm.exportDisk(diskOf(vm), join(folder, name))
        for (let count = 0; count < turns; count += 1) await turn()
        const verdict = await job.cancel()
        const result = await job
        if (verdict.isErr()) expect(['JOB_NOT_CANCELABLE', 'JOB_FINISHED']).toContain(verdict.error.code)
        expect(result.isErr()).toBe(verdict.isOk())
        const left = (await readdir(folder)).filter((each) => !/^\d+$/.test(each) || each === name)
        expect(left).toEqual(result.isOk() ? [name] : [])
        await trial.expectState(vm, 'stopped')
      }
    },
  )

  if (refusedPathOf(host, 'spec.disks.image') !== undefined) return

  promises(
    'the file has the content of the image that a disk starts from, and zeros behind it',
    ['vm.exportDisk'],
    async (trial) => {
      const image = trial.path('image')
      const content = Buffer.alloc(mebibyte, 0x7e)
      await writeFile(image, content)
      const vm = await trial.createVm({ ...trial.profile.specWithDisk, disks: [{ sizeMiB: 1 }, { image, sizeMiB: 3 }] })
      const path = trial.path('disk.raw')
      await vm.exportDisk(vm.config.disks[1]?.id ?? 'none', path).unwrap()
      expect(Buffer.compare(await readFile(path), Buffer.concat([content, Buffer.alloc(2 * mebibyte)]))).toBe(0)
    },
  )

  promises(
    'what the guest of a running VM has written is in the file, another VM starts from it, and the guest runs on',
    ['vm.exportDisk', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      await guest.writeDisk(0x44)
      const counted = await guest.count()
      const image = trial.path('disk.raw')
      await vm.exportDisk(diskOf(vm), image).unwrap()
      await guest.writeDisk(0x55)
      expect(await guest.count()).toBe(counted + 2)
      await trial.expectState(vm, 'running')
      const other = await trial.runningVm({ ...trial.profile.specWithDisk, disks: [{ image }] })
      expect(await other.guest.readDisk()).toBe(0x44)
      await vm.stop({ mode: 'kill' }).unwrap()
      const again = await trial.startVm(vm)
      expect(await again.guest.readDisk()).toBe(0x55)
    },
  )
}
