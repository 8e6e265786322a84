import { once } from 'node:events'
import { err, ok, type Result } from '../../result.js'
import type { OperationCode } from '../../operations.js'
import type { Server } from '../../server.js'
import type { Vm } from '../../vm.js'
import type { VmError } from '../../errors.js'
import { ConsoleReader } from './console-reader.js'
import type { Trial } from './trial.js'

type Call<Target> = (target: Target, trial: Trial) => PromiseLike<Result<unknown, VmError>>

export type VmOperation = Extract<OperationCode, `vm.${string}` | `guest.${string}` | `native.${string}`>
export type ServerOperation = Exclude<
  Extract<OperationCode, `server.${string}` | `images.${string}`>,
  'server.close' | 'server.getJobs' | 'server.createVm'
>

/** A call of each operation of a VM with arguments that are right; of a snapshot, the VM's last one. */
export const vmCalls: Record<VmOperation, Call<Vm>> = {
  'vm.getState': (vm) => vm.getState(),
  'vm.refresh': (vm) => vm.refresh(),
  'vm.waitForState': (vm) => vm.waitForState('stopped'),
  'vm.start': (vm) => vm.start(),
  'vm.stop': (vm) => vm.stop(),
  'vm.pause': (vm) => vm.pause(),
  'vm.resume': (vm) => vm.resume(),
  'vm.suspend': (vm) => vm.suspend(),
  'vm.reset': (vm) => vm.reset(),
  'vm.restart': (vm) => vm.restart(),
  'vm.edit': (vm) => vm.edit({ description: 'edited' }),
  'vm.clone': (vm, trial) => vm.clone({ name: trial.newName() }),
  'vm.exportDisk': (vm, trial) => vm.exportDisk(vm.config.disks[0]?.id ?? 'none', trial.path('exported')),
  'vm.delete': (vm) => vm.delete(),
  'vm.unregister': (vm) => vm.unregister(),
  'vm.migrate': (vm, trial) => vm.migrate(trial.opened.migrationTarget ?? 'embedded:'),
  'vm.createSnapshot': (vm) => vm.createSnapshot({ name: 'snapshot' }),
  'vm.getSnapshotTree': (vm) => vm.getSnapshotTree(),
  'vm.switchToSnapshot': (vm) => withLastSnapshot(vm, (id) => vm.switchToSnapshot(id)),
  'vm.deleteSnapshot': (vm) => withLastSnapshot(vm, (id) => vm.deleteSnapshot(id)),
  'vm.getStatistics': (vm) => vm.getStatistics(),
  'vm.screenshot': (vm) => vm.screenshot(),
  'vm.sendKeys': (vm) => vm.sendKeys(['KeyA']),
  'vm.console': (vm) => openConsole(vm),
  'guest.exec': (vm) => vm.guest.exec(['true']),
  'guest.readFile': (vm) => vm.guest.readFile('/etc/hostname'),
  'guest.writeFile': (vm) => vm.guest.writeFile('/tmp/written', 'content'),
  'guest.readdir': (vm) => vm.guest.readdir('/etc'),
  'guest.stat': (vm) => vm.guest.stat('/etc/hostname'),
  'guest.mkdir': (vm) => vm.guest.mkdir('/tmp/folder', { recursive: true }),
  'guest.rm': (vm) => vm.guest.rm('/tmp/written', { force: true }),
  'guest.rename': (vm) => vm.guest.rename('/tmp/written', '/tmp/renamed'),
  'guest.getInfo': (vm) => vm.guest.getInfo(),
  'guest.waitUntilReady': (vm) => vm.guest.waitUntilReady(),
  'guest.waitForPort': (vm) => vm.guest.waitForPort(22),
  'guest.getNetworkAddresses': (vm) => vm.guest.getNetworkAddresses(),
  'guest.copyIn': (vm, trial) => vm.guest.copyIn(trial.path('in'), '/tmp/in'),
  'guest.copyOut': (vm, trial) => vm.guest.copyOut('/etc/hostname', trial.path('out')),
  'native.qmp': (vm) => vm.native.qmp('query-status'),
}

export const serverCalls: Record<ServerOperation, Call<Server>> = {
  'server.getInfo': (server) => server.getInfo(),
  'server.getVmList': (server) => server.getVmList(),
  'server.getVm': (server) => server.getVm('some-vm'),
  'server.registerVm': (server, trial) => server.registerVm(trial.path('vm')),
  'images.list': (server) => server.images.list(),
  'images.fetch': (server) => server.images.fetch({ url: 'https://example.org/disk.raw', sha256: '0'.repeat(64) }),
  'images.remove': (server) => server.images.remove('some-image'),
  'server.attachJob': (server) => server.attachJob('some-job'),
}

export const vmOperations = Object.keys(vmCalls) as VmOperation[]
export const serverOperations = Object.keys(serverCalls) as ServerOperation[]

/** Waits until a console is open, or has failed to open. */
async function openConsole(vm: Vm): Promise<Result<ConsoleReader, VmError>> {
  const stream = vm.console()
  const console = new ConsoleReader(stream)
  const failure = await Promise.race([once(stream, 'data').then(() => undefined), console.untilClosed()]).catch(
    (error: unknown) => error,
  )
  return failure === undefined ? ok(console) : err(failure as VmError)
}

async function withLastSnapshot(
  vm: Vm,
  call: (id: string) => PromiseLike<Result<unknown, VmError>>,
): Promise<Result<unknown, VmError>> {
  const tree = await vm.getSnapshotTree()
  return await call(tree.isOk() ? (tree.value.at(-1)?.id ?? 'none') : 'none')
}
