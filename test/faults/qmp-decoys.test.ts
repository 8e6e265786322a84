import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type Vm } from 'awaitvm'
import { beforeEach, expect, test } from 'vitest'
import { endQemu } from '../../src/drivers/qmp/process/qemu-end.js'
import { formatIdentity, identityOf } from '../../src/registry/process-identity.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

/** Another program with a VM's id among its arguments, for example a user's own script. */
class Decoy implements AsyncDisposable {
  readonly process: ChildProcess

  private constructor(cwd: string, words: readonly string[], argv0: string) {
    const program =
      'for (const name of ["SIGTERM", "SIGINT"]) process.on(name, () => process.exit(1)); setInterval(() => 1, 1e6)'
    this.process = spawn(process.execPath, ['-e', `${program}; console.log('up')`, '--', ...words], {
      cwd,
      argv0,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
  }

  static async start(cwd: string, words: readonly string[], argv0 = 'node'): Promise<Decoy> {
    const decoy = new Decoy(cwd, words, argv0)
    if (decoy.process.stdout !== null) await once(decoy.process.stdout, 'data')
    return decoy
  }

  get pid(): number {
    return this.process.pid ?? 0
  }

  expectAlive(): void {
    expect([this.process.exitCode, this.process.signalCode]).toEqual([null, null])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill('SIGKILL')
    if (this.process.exitCode === null && this.process.signalCode === null) await once(this.process, 'exit')
  }
}

/** Makes it look as if a process had crashed in the middle of a change of the VM. */
async function abandon(host: QmpHost, vm: Vm): Promise<void> {
  const dead = formatIdentity({ ...identityOf(process.pid, false), pid: 4_000_000, began: '1' })
  await rm(join(host.folderOf(vm), 'claim'), { force: true })
  await writeFile(join(host.folderOf(vm), `claim,starting,stopped,1,${dead}`), '')
}

test('a script with the id of a VM among its arguments is not taken for its QEMU', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  const folder = host.folderOf(vm)
  await using script = await Decoy.start(folder, [host.directory, 'start', vm.id])
  await using likeArguments = await Decoy.start(folder, ['-name', `guest=${vm.id}`, '-uuid', vm.id])
  const elsewhere = join(host.folder, 'elsewhere')
  await mkdir(elsewhere)
  await using likeName = await Decoy.start(elsewhere, ['-uuid', vm.id], 'qemu-system-x86_64')
  for (const decoy of [script, likeArguments, likeName]) {
    await writeFile(join(folder, 'qemu.pid'), `${String(decoy.pid)}\n`)
    await abandon(host, vm)
    await using again = await connect(host.uri).unwrap()
    await (await again.getVm(vm.id).unwrap()).start().unwrap()
    await vm.stop({ mode: 'kill' }).unwrap()
    decoy.expectAlive()
  }
})

test('a process that is recorded as the QEMU of a VM, but is not, is reported and not signalled', async () => {
  await using host = await QmpHost.open()
  const folder = host.folderOf(await host.createVm())
  await using decoy = await Decoy.start(folder, ['-uuid', 'web-1'])
  await expect(endQemu(folder, identityOf(decoy.pid, false))).rejects.toThrow(
    `the process ${String(decoy.pid)} can't be proven to be it`,
  )
  decoy.expectAlive()
})

test('a QEMU without a record is found by its identity, also through a link', async () => {
  await using host = await QmpHost.open()
  const vm = await host.createVm()
  const link = join(host.folder, 'link')
  await symlink(host.directory, link)
  await vm.start().unwrap()
  const pid = await host.pidOf(vm)
  await rm(join(host.folderOf(vm), 'run.json'))
  await rm(join(host.folderOf(vm), 'control.sock'))
  await abandon(host, vm)
  await using again = await connect(`qmp://${link}`).unwrap()
  await (await again.getVm(vm.id).unwrap()).start().unwrap()
  expect(await host.pidOf(vm)).not.toBe(pid)
})
