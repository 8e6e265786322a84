import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { requireDisk } from '../../../driver/disk-list.js'
import type { DriverInputs } from '../../../driver/driver.js'
import type { Task } from '../../../driver/task.js'
import { requireImages } from '../../../files/image-record.js'
import { writeNewFile } from '../../../files/new-file.js'
import type { DiskFileFormat } from '../../../model/disk-file-format.js'
import type { DiskDefinition } from '../definition.js'
import type { HeldVm } from '../held-vm.js'
import { copyLive } from './copy-live.js'
import { imageFileOf, withNewFile } from './disk-chain.js'
import type { DiskImages } from './disk-images.js'
import { requireBases, requireVmFiles } from './required-parts.js'

type ExportInput = Pick<DriverInputs['vm.exportDisk'], 'disk' | 'path' | 'format' | 'compress'>

/** The arguments of `qemu-img convert` for each format. */
const usual: Readonly<Record<DiskFileFormat, readonly string[]>> = {
  raw: ['-O', 'raw'],
  qcow2: ['-O', 'qcow2'],
  vmdk: ['-O', 'vmdk'],
  vhdx: ['-O', 'vhdx'],
  vdi: ['-O', 'vdi'],
  // Otherwise QEMU rounds the size up to whole cylinders.
  vhd: ['-O', 'vpc', '-o', 'force_size=on'],
}
const compressed: Readonly<Record<DiskFileFormat, readonly string[]>> = {
  ...usual,
  qcow2: ['-c', ...usual.qcow2],
  vmdk: [...usual.vmdk, '-o', 'subformat=streamOptimized'],
}

/** Writes the content of a disk to one file. Of a disk that a QEMU has open, it is that of a copy, made at one moment. */
export async function exportDisk(images: DiskImages, vm: HeldVm, input: ExportInput, task: Task): Promise<void> {
  const { definition, folder, signal, run } = vm
  const { hardware } = definition
  const disk = requireDisk(hardware.disks, input.disk)
  if (run === undefined) requireVmFiles(folder, { hardware }, 'rest')
  else requireBases(folder, definition)
  await requireImages(hardware, 'disks', 'qmp')
  const args = (input.compress ? compressed : usual)[input.format]
  const writing = async (source: DiskDefinition, draft: string): Promise<void> => {
    const onProgress = (percent: number): void => {
      task.progress({ percent: run === undefined ? percent : 50 + percent / 2, phase: 'writing the file' })
    }
    await images.export({ folder, disk: source, known: hardware }, draft, args, { signal, onProgress })
  }
  await writeNewFile(input.path, 'qmp', async ({ draft }) => {
    if (run === undefined) await writing(disk, draft)
    else await withCopy(images, vm, disk, task, (copy) => writing(copy, draft))
    signal.throwIfAborted()
  })
}

/** Uses a copy of a disk in the VM's folder, which no definition names: if this process dies, the next that claims the VM removes it. */
async function withCopy(
  images: DiskImages,
  vm: HeldVm,
  disk: DiskDefinition,
  task: Task,
  use: (copy: DiskDefinition) => Promise<void>,
): Promise<void> {
  const { folder, signal } = vm
  const copy = withNewFile(disk)
  const path = join(folder, copy.file)
  const onProgress = (percent: number): void => {
    task.progress({ percent: percent / 2, phase: 'copying the disk' })
  }
  try {
    await images.create(imageFileOf(folder, copy, vm.definition.hardware), copy.sizeMiB, { signal })
    await vm.withMonitor((client) => copyLive(client, [disk], [path], { signal, onProgress }))
    await use(copy)
  } finally {
    await rm(path, { force: true })
  }
}
