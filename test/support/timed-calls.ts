import { join } from 'node:path'
import type { JobOptions, JobRef, Server, Vm } from 'awaitvm'
import type { ServerOperation, VmOperation } from '../../src/testing/conformance/calls.js'

/** What the calls need besides the VM. */
interface Place {
  readonly server: Server
  /** A folder for files. */
  readonly folder: string
  readonly snapshot: string
}

/** A call of each operation that takes options, but for those on images, which ask no host. Those that make something use a new name. */
export const timedCalls: Record<
  Exclude<VmOperation, 'vm.console'> | Exclude<ServerOperation, 'server.attachJob' | `images.${string}`>,
  (vm: Vm, options: JobOptions, place: Place) => JobRef<unknown>
> = {
  'server.getInfo': (_vm, options, { server }) => server.getInfo(options),
  'server.getVmList': (_vm, options, { server }) => server.getVmList(options),
  'server.getVm': (vm, options, { server }) => server.getVm(vm.id, options),
  'server.registerVm': (_vm, options, { server, folder }) => server.registerVm(join(folder, 'nothing'), options),
  'vm.getState': (vm, options) => vm.getState(options),
  'vm.refresh': (vm, options) => vm.refresh(options),
  'vm.waitForState': (vm, options) => vm.waitForState('stopped', options),
  'vm.start': (vm, options) => vm.start(options),
  'vm.stop': (vm, options) => vm.stop(options),
  'vm.pause': (vm, options) => vm.pause(options),
  'vm.resume': (vm, options) => vm.resume(options),
  'vm.suspend': (vm, options) => vm.suspend(options),
  'vm.reset': (vm, options) => vm.reset(options),
  'vm.restart': (vm, options) => vm.restart(options),
  'vm.edit': (vm, options) => vm.edit({ description: 'edited' }, options),
  'vm.clone': (vm, options) => vm.clone({ name: 'copy', ...options }),
  'vm.exportDisk': (vm, options, { folder }) =>
    vm.exportDisk(vm.config.disks[0]?.id ?? 'none', join(folder, 'exported'), options),
  'vm.delete': (vm, options) => vm.delete(options),
  'vm.unregister': (vm, options) => vm.unregister(options),
  'vm.migrate': (vm, options, { folder }) => vm.migrate(`qmp://${join(folder, 'elsewhere')}`, options),
  'vm.createSnapshot': (vm, options) => vm.createSnapshot({ name: 'one more', ...options }),
  'vm.getSnapshotTree': (vm, options) => vm.getSnapshotTree(options),
  'vm.switchToSnapshot': (vm, options, { snapshot }) => vm.switchToSnapshot(snapshot, options),
  'vm.deleteSnapshot': (vm, options, { snapshot }) => vm.deleteSnapshot(snapshot, options),
  'vm.getStatistics': (vm, options) => vm.getStatistics(options),
  'vm.screenshot': (vm, options) => vm.screenshot(options),
  'vm.sendKeys': (vm, options) => vm.sendKeys(['KeyA'], options),
  'guest.exec': (vm, options) => vm.guest.exec(['true'], options),
  'guest.readFile': (vm, options) => vm.guest.readFile('/etc/hostname', options),
  'guest.writeFile': (vm, options) => vm.guest.writeFile('/tmp/written', 'content', options),
  'guest.readdir': (vm, options) => vm.guest.readdir('/etc', options),
  'guest.stat': (vm, options) => vm.guest.stat('/etc/hostname', options),
  'guest.mkdir': (vm, options) => vm.guest.mkdir('/tmp/folder', options),
  'guest.rm': (vm, options) => vm.guest.rm('/tmp/written', options),
  'guest.rename': (vm, options) => vm.guest.rename('/tmp/written', '/tmp/renamed', options),
  'guest.getInfo': (vm, options) => vm.guest.getInfo(options),
  'guest.waitUntilReady': (vm, options) => vm.guest.waitUntilReady(options),
  'guest.waitForPort': (vm, options) => vm.guest.waitForPort(22, options),
  'guest.getNetworkAddresses': (vm, options) => vm.guest.getNetworkAddresses(options),
  'guest.copyIn': (vm, options, { folder }) => vm.guest.copyIn(join(folder, 'in'), '/tmp/in', options),
  'guest.copyOut': (vm, options, { folder }) => vm.guest.copyOut('/etc/hostname', join(folder, 'out'), options),
  'native.qmp': (vm, options) => vm.native.qmp('query-status', {}, options),
}
