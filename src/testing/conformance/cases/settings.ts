import { mkdir, realpath, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect } from 'vitest'
import {
  FirmwareNotFoundError,
  HostToolNotFoundError,
  InvalidArgumentError,
  NotSupportedError,
  type VmError,
} from '../../../errors.js'
import type { SshAccess } from '../../../model/guest-access.js'
import type { VmSpec } from '../../../model/vm-spec.js'
import { EventLog } from '../event-log.js'
import { failureOf } from '../expect-failure.js'
import { GuestLacksError } from '../guest.js'
import { refusedPathOf } from '../host.js'
import type { Cases } from '../case.js'
import type { Trial } from '../trial.js'
import { withKernel } from '../with-kernel.js'

type Settings = Omit<VmSpec, 'name'>

/** The paths of all settings in an object, through lists and objects: `'spec.disks.image'`. */
type PathsIn<T, Root extends string> = T extends unknown
  ? { [K in keyof T & string]-?: PathsOf<NonNullable<T[K]>, `${Root}.${K}`> }[keyof T & string]
  : never
type PathsOf<T, Path extends string> = [T] extends [readonly (infer E)[]]
  ? PathsOf<E, Path>
  : [T] extends [object]
    ? string extends keyof T
      ? Path
      : PathsIn<T, Path>
    : Path

/** The settings of a disk that its host gives, or that are used up when its image is fetched. */
type UnkeptOfDisk = 'spec.disks.id' | 'spec.disks.sha256' | 'spec.disks.sha512'

/** Settings for cloud-init are one setting of a host, which shows the host name only. */
type SettingPath = Exclude<PathsIn<Omit<Settings, 'cloudInit'>, 'spec'>, UnkeptOfDisk> | 'spec.cloudInit'

type Sample = (trial: Trial, file: string) => Settings

const networkAdapter = (adapter: NonNullable<Settings['networkAdapters']>[number]): Settings => ({
  networkAdapters: [adapter],
})
const throughSsh = (access: Partial<SshAccess> = {}): Settings => ({
  guest: { way: 'ssh', user: 'ci', privateKeyFile: '/keys/id_ed25519', ...access },
})
/** A folder that exists, by its own path. */
const share = (file: string): NonNullable<Settings['shares']>[number] => ({ path: dirname(file), tag: 'project' })
const hostKey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBOPGpL3d0Q96yFQ71XcJq/4F1RvZTRpbMNK2q2viG6J'
const portForward = { guestPort: 22, hostPort: 40_022 }

/** A value of each setting: a setting that is added to the model is a compile error here. */
const samples: Readonly<Record<SettingPath, Sample>> = {
  'spec.description': () => ({ description: 'Line 1\nLine 2' }),
  'spec.labels': () => ({ labels: { job: '4711', 'ci.example.org/constructor': '', constructor: 'é' } }),
  'spec.ephemeral': () => ({ ephemeral: true }),
  'spec.cpus': () => ({ cpus: 2 }),
  'spec.memoryMiB': () => ({ memoryMiB: 20 }),
  'spec.disks.image': (_trial, image) => ({ disks: [{ image }] }),
  'spec.disks.sizeMiB': () => ({ disks: [{ sizeMiB: 64 }] }),
  'spec.disks.bus': () => ({ disks: [{ sizeMiB: 64, bus: 'scsi' }] }),
  'spec.cdroms.image': (_trial, image) => ({ cdroms: [{ image }] }),
  'spec.cdroms.bus': (_trial, image) => ({ cdroms: [{ image, bus: 'scsi' }] }),
  'spec.floppies.image': (_trial, image) => ({ floppies: [{ image }] }),
  'spec.boot.kernel': (trial) => ({ boot: { kernel: withKernel(trial) } }),
  'spec.boot.initrd': (trial, initrd) => ({ boot: { kernel: withKernel(trial), initrd } }),
  'spec.boot.commandLine': (trial) => ({ boot: { kernel: withKernel(trial), commandLine: 'quiet' } }),
  'spec.boot.firmware': (_trial, firmware) => ({ boot: { firmware } }),
  'spec.boot.secureBoot': () => ({ boot: { firmware: 'uefi', secureBoot: true } }),
  'spec.boot.videoFirmware': (_trial, videoFirmware) => ({ boot: { videoFirmware } }),
  'spec.boot.order': () => ({ boot: { order: ['cdrom', 'disk'] } }),
  'spec.architecture': () => ({ architecture: 'x86_64' }),
  'spec.tpm': () => ({ tpm: true }),
  'spec.machine': () => ({ machine: 'pc' }),
  'spec.native.arguments': () => ({ native: { arguments: ['-rtc', 'base=localtime'] } }),
  'spec.networkAdapters.macAddress': ({ host }) =>
    networkAdapter({ ...host.networkAdapter, macAddress: '52:54:00:ab:cd:ef' }),
  'spec.networkAdapters.network': () => networkAdapter({ network: { private: 'lab' } }),
  'spec.networkAdapters.outbound': () => networkAdapter({ outbound: true }),
  'spec.networkAdapters.portForwards.guestPort': () => networkAdapter({ portForwards: [{ guestPort: 22 }] }),
  'spec.networkAdapters.portForwards.hostPort': () => networkAdapter({ portForwards: [portForward] }),
  'spec.networkAdapters.portForwards.protocol': () =>
    networkAdapter({ portForwards: [{ ...portForward, protocol: 'udp' }] }),
  'spec.networkAdapters.portForwards.hostAddress': () =>
    networkAdapter({ portForwards: [{ ...portForward, hostAddress: '0.0.0.0' }] }),
  'spec.shares.path': (_trial, file) => ({ shares: [share(file)] }),
  'spec.shares.tag': (_trial, file) => ({ shares: [{ ...share(file), tag: 'a_B.c-1' }] }),
  'spec.shares.readOnly': (_trial, file) => ({ shares: [{ ...share(file), readOnly: true }] }),
  'spec.shares.type': (_trial, file) => ({ shares: [{ ...share(file), type: '9p' }] }),
  'spec.cloudInit': () => ({ cloudInit: { hostname: 'web-1.example.org' } }),
  'spec.guest.way': () => ({ guest: { way: 'agent' } }),
  'spec.guest.user': () => throughSsh(),
  'spec.guest.privateKeyFile': () => throughSsh({ privateKeyFile: '/keys/id_rsa' }),
  'spec.guest.host': () => throughSsh({ host: '192.0.2.7' }),
  'spec.guest.port': () => throughSsh({ port: 2222 }),
  'spec.guest.hostKey': () => throughSsh({ hostKey }),
}

/** Samples for hosts that refuse the setting: any file will do. */
const refusable: Readonly<Partial<Record<SettingPath, Sample>>> = {
  ...samples,
  'spec.boot.kernel': (_trial, kernel) => ({ boot: { kernel } }),
  'spec.boot.initrd': (_trial, file) => ({ boot: { kernel: file, initrd: file } }),
  'spec.boot.commandLine': (_trial, kernel) => ({ boot: { kernel, commandLine: 'quiet' } }),
}

/** A file of the size of a floppy in a folder of its own, by its real path. */
async function madeFile(trial: Trial): Promise<string> {
  const folder = trial.path('folder')
  await mkdir(folder)
  const file = join(folder, 'file')
  await writeFile(file, Buffer.alloc(1_474_560, 7))
  return await realpath(file)
}

/** The path of a setting in an error, as in the table: `changes.disks[0].image` is `spec.disks.image`. */
const settingIn = (path: string | undefined): string | undefined =>
  path?.replaceAll(/\[\d+\]/g, '').replace(/^changes/, 'spec')

function expectRefusal(error: VmError, setting: string): void {
  // The host has the setting, and this machine lacks what it takes.
  if (error instanceof HostToolNotFoundError || error instanceof FirmwareNotFoundError) {
    throw new GuestLacksError(error.message)
  }
  if (error instanceof NotSupportedError) {
    expect(error.capability).toBe(setting)
    expect(settingIn(error.path)).toBe(setting)
    expect(error.hint).toBeTruthy()
  } else if (error instanceof InvalidArgumentError) expect(settingIn(error.path)).toBe(setting)
  else throw error
}

export const settings: Cases = ({ host, promises }) => {
  for (const [setting, sample] of Object.entries(samples) as [SettingPath, Sample][]) {
    const refused = refusedPathOf(host, setting)
    if (refused !== undefined) {
      const refusedSample = refusable[setting] ?? sample
      promises(`${setting} is refused by a creation, and nothing is made`, ['server.createVm'], async (trial) => {
        const before = await trial.opened.files?.()
        const log = new EventLog(trial.server.events())
        const spec = { ...refusedSample(trial, await madeFile(trial)), name: trial.newName() }
        const error = await failureOf(trial.server.createVm(spec), 'NOT_SUPPORTED')
        expectRefusal(error, refused)
        expect(await trial.server.getVmList().unwrap()).toEqual([])
        expect(await trial.opened.files?.()).toEqual(before)
        await log.close()
        expect(log.events).toEqual([])
      })

      promises(`${setting} is refused by an edit, and nothing is changed`, ['vm.edit'], async (trial) => {
        const vm = await trial.createVm()
        const before = vm.config
        const changes = refusedSample(trial, await madeFile(trial))
        const error = await failureOf(vm.edit({ description: 'half of it', ...changes }), 'NOT_SUPPORTED')
        expectRefusal(error, refused)
        expect(await vm.refresh().unwrap()).toEqual(before)
      })
      continue
    }

    promises(
      `${setting} of a new VM is kept, or refused by its path and nothing is made`,
      ['server.createVm'],
      async (trial) => {
        const spec = sample(trial, await madeFile(trial))
        const name = trial.newName()
        const created = await trial.server.createVm({ ...spec, name })
        if (created.isErr()) {
          expectRefusal(created.error, setting)
          expect(await trial.server.getVmList().unwrap()).toEqual([])
          return
        }
        expect(created.value.config).toMatchObject(spec)
        if (!host.keepsVms || spec.ephemeral === true) return
        const server = await trial.reopen()
        expect((await server.getVm(name).unwrap()).config).toMatchObject(spec)
      },
    )

    promises(
      `${setting} is kept by an edit, or refused by its path and nothing is changed`,
      ['vm.edit'],
      async (trial) => {
        const vm = await trial.createVm()
        const before = vm.config
        const changes = sample(trial, await madeFile(trial))
        const disks = changes.disks && [...before.disks, ...changes.disks]
        const edited = await vm.edit({ description: 'half of it', ...changes, ...(disks && { disks }) })
        if (edited.isErr()) {
          expectRefusal(edited.error, setting)
          expect(await vm.refresh().unwrap()).toEqual(before)
          return
        }
        const expected = { description: 'half of it', ...changes, ...(disks && { disks }) }
        expect(edited.value).toMatchObject(expected)
        if (!host.keepsVms || changes.ephemeral === true) return
        const server = await trial.reopen()
        expect((await server.getVm(vm.id).unwrap()).config).toMatchObject(expected)
      },
    )
  }
}
