import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { connect, type Vm } from 'awaitvm'
import { expect, test, vi, type TestContext } from 'vitest'
import { failureOf } from '../../src/testing/conformance/expect-failure.js'
import { Child } from '../support/child-process.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'
import { SmallFileSystem } from '../support/small-file-system.js'

const mebibyte = 2 ** 20

const diskOf = (vm: Vm): string => vm.config.disks[0]!.id

/** A host whose `qemu-img convert` writes a part of the file, tells of half of the progress, and then ends as the test says. */
class HostWithBrokenTool implements AsyncDisposable {
  readonly host: QmpHost
  /** For exported files. */
  readonly exports: string
  readonly #pidFile: string

  private constructor(host: QmpHost, folder: string, pidFile: string) {
    this.host = host
    this.exports = join(folder, 'exports')
    this.#pidFile = pidFile
    mkdirSync(this.exports)
  }

  /** @param ending the end of the conversion, in the words of a shell */
  static async open(context: TestContext, ending: string): Promise<HostWithBrokenTool> {
    skipWithout(context, missingQemu)
    const folder = await mkdtemp(join(tmpdir(), 'awaitvm-broken-tool-'))
    const pidFile = join(folder, 'pid')
    const real = execFileSync('sh', ['-c', 'command -v qemu-img'], { encoding: 'utf8' }).trim()
    const script = [
      '#!/bin/sh',
      `[ "$1" = convert ] || exec ${real} "$@"`,
      'for target; do :; done',
      'printf half >"$target"',
      `echo $$ >${pidFile}`,
      "echo '    (50.00/100%)'",
      ending,
    ]
    const bin = join(folder, 'bin')
    mkdirSync(bin)
    writeFileSync(join(bin, 'qemu-img'), `${script.join('\n')}\n`, { mode: 0o755 })
    vi.stubEnv('PATH', `${bin}${delimiter}${process.env['PATH'] ?? ''}`)
    return new HostWithBrokenTool(await QmpHost.open(folder), folder, pidFile)
  }

  /** Ends a conversion that has outlived the process that began it. */
  endConversion(): void {
    process.kill(Number(readFileSync(this.#pidFile, 'utf8')), 'SIGKILL')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    vi.unstubAllEnvs()
    await this.host[Symbol.asyncDispose]()
    await rm(join(this.exports, '..'), { recursive: true })
  }
}

const hanging = 'exec sleep 600'

test('an export that fails in the middle leaves nothing, and the VM can be started', async (context) => {
  await using broken = await HostWithBrokenTool.open(
    context,
    "echo 'error while writing: Input/output error' >&2; exit 1",
  )
  const { host, exports } = broken
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const error = await failureOf(vm.exportDisk(diskOf(vm), join(exports, 'disk.raw')), 'HOST_ERROR')
  expect(error.native.message).toContain('Input/output error')
  expect(readdirSync(exports)).toEqual([])
  const guest = await host.boot(vm)
  const disks = disksOf(host, vm)
  await failureOf(vm.exportDisk(diskOf(vm), join(exports, 'disk.raw')), 'HOST_ERROR')
  expect(readdirSync(exports)).toEqual([])
  expect(disksOf(host, vm)).toEqual(disks)
  expect(await guest.count()).toBe(1)
})

test('an export that is cancelled in the middle is ended, and leaves nothing', async (context) => {
  await using broken = await HostWithBrokenTool.open(context, hanging)
  const { host, exports } = broken
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const job = vm.exportDisk(diskOf(vm), join(exports, 'disk.raw'))
  await new Promise<void>((resolve) => {
    job.onProgress(({ phase }) => {
      if (phase === 'writing the file') resolve()
    })
  })
  expect(readdirSync(exports)).toHaveLength(1)
  await job.cancel().unwrap()
  expect((await failureOf(job, 'JOB_CANCELLED')).operation).toBe('vm.exportDisk')
  expect(readdirSync(exports)).toEqual([])
  const guest = await host.boot(vm)
  expect(await guest.count()).toBe(1)
})

test('a process that is killed during an export leaves no file of that name, and a VM that is whole', async (context) => {
  await using broken = await HostWithBrokenTool.open(context, hanging)
  const { host, exports } = broken
  const vm = await host.createVm({ disks: [{ sizeMiB: 1 }] })
  const path = join(exports, 'disk.raw')
  for (const prepare of [() => Promise.resolve(), () => host.boot(vm)]) {
    await prepare()
    const { state } = vm
    const disks = disksOf(host, vm)
    const line = `export ${path} web-1`
    await using child = new Child('host-child.ts', [host.uri])
    await child.printed('ready')
    child.send(line)
    await child.printed(`${line}: writing the file`)
    await child.kill()
    broken.endConversion()
    expect(readdirSync(exports).filter((name) => !name.startsWith('.awaitvm-'))).toEqual([])
    await vm.edit({ description: `edited while ${state}` }).unwrap()
    expect(disksOf(host, vm)).toEqual(disks)
    expect(await vm.getState().unwrap()).toBe(state)
  }
  await vm.stop().unwrap()
  expect(await host.damage(vm)).toEqual([])
})

const disksOf = (host: QmpHost, vm: Vm): string[] =>
  readdirSync(host.folderOf(vm))
    .filter((name) => name.endsWith('.qcow2'))
    .sort()

for (const scheme of ['qmp', 'embedded']) {
  test(`an export to a disk that is too small leaves nothing, on ${scheme}`, async (context) => {
    if (scheme === 'qmp') skipWithout(context, missingQemu)
    await using room = await SmallFileSystem.mount(context)
    const folder = await mkdtemp(join(tmpdir(), 'awaitvm-export-'))
    try {
      await using server = await connect(`${scheme}://${join(folder, 'vms')}`).unwrap()
      const image = join(folder, 'image')
      writeFileSync(image, Buffer.alloc(20 * mebibyte, 0x7e))
      const vm = await server.createVm({ name: 'web-1', disks: [{ image }] }).unwrap()
      const free = room.freeBytes
      const error = await failureOf(vm.exportDisk(diskOf(vm), join(room.folder, 'disk.raw')), 'INSUFFICIENT_RESOURCES')
      expect(error.hint).toContain('room')
      expect(readdirSync(room.folder)).toEqual([])
      expect(room.freeBytes).toBe(free)
      await vm.exportDisk(diskOf(vm), join(folder, 'disk.raw')).unwrap()
      expect(readFileSync(join(folder, 'disk.raw')).equals(readFileSync(image))).toBe(true)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
}
