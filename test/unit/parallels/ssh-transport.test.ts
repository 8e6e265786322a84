import { readFile, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { connect, type ConnectOptions, type Server } from 'awaitvm'
import { decode } from 'fast-png'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { within } from '../../../src/testing/conformance/deadline.js'
import { EventLog } from '../../../src/testing/conformance/event-log.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'
import { PrlctlDouble } from '../../support/prlctl-double.js'
import { missingSsh, skipWithout } from '../../support/optional-tool.js'
import { SshServer } from '../../support/ssh-server.js'

describe('a Parallels host over ssh', () => {
  let ssh: SshServer

  beforeAll(async () => {
    if (missingSsh === undefined) ssh = await SshServer.start()
  })

  beforeEach((context) => {
    skipWithout(context, missingSsh)
  })

  afterAll(async () => {
    if (missingSsh === undefined) await ssh[Symbol.asyncDispose]()
  })

  const connected = async (double: PrlctlDouble, options?: ConnectOptions): Promise<Server> =>
    await connect(ssh.uriOf(double), options).unwrap()

  test('reports the remote machine', async () => {
    await using double = await PrlctlDouble.make()
    await using server = await connected(double)
    const info = await server.getInfo().unwrap()
    expect(info).toMatchObject({ driver: 'parallels', hypervisor: 'Parallels Desktop', hostName: hostname() })
    expect(info.cpus).toBeGreaterThan(0)
    expect(info.memoryMiB).toBeGreaterThan(info.freeMemoryMiB)
  })

  test('a VM goes through its life there, and nothing is left behind', async () => {
    await using double = await PrlctlDouble.make()
    {
      await using server = await connected(double)
      const log = new EventLog(server.events())
      const vm = await server.createVm({ name: 'web-1', memoryMiB: 1024, disks: [{ sizeMiB: 64 }] }).unwrap()
      await vm.start().unwrap()
      const image = decode(await vm.screenshot().unwrap())
      expect([image.width, image.height]).toEqual([640, 480])
      const snapshot = await vm.createSnapshot({ name: 'clean', description: 'of a running VM' }).unwrap()
      expect(Math.abs(snapshot.createdAt.getTime() - Date.now())).toBeLessThan(60_000)
      await vm.switchToSnapshot(snapshot.id).unwrap()
      await vm.suspend().unwrap()
      await vm.resume().unwrap()
      await vm.stop().unwrap()
      const copy = await vm.clone({ name: 'web-2' }).unwrap()
      await copy.delete().unwrap()
      expect((await server.getVmList().unwrap()).map(({ name }) => name)).toEqual(['web-1'])
      // Changes by other clients are events.
      await double.prlctlOutput('start', 'web-1')
      await log.until((event) => event.type === 'state' && event.state === 'running' && event.reason === undefined)
    }
    expect(await double.processes()).toEqual([])
  })

  test('arguments reach the guest unchanged, through both shells', async () => {
    await using double = await PrlctlDouble.make()
    await using server = await connected(double)
    const vm = await server.createVm({ name: `it's "$(id)" \`id\` -rf * ünï` }).unwrap()
    expect(await server.getVm(vm.name).unwrap()).toBe(vm)
    await vm.start().unwrap()
    const words = ["it's", '"quoted"', '$HOME $(id) `id`', 'a\nb', '', ' ', '\\', '\\n', '-x', '; true', '虚拟机']
    const { stdout } = await vm.guest.exec(['printf', '[%s]', ...words]).unwrap()
    expect(Buffer.from(stdout).toString()).toBe(words.map((word) => `[${word}]`).join(''))
    const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 256))
    const echoed = await vm.guest.exec(['cat'], { input: bytes, encoding: 'buffer' }).unwrap()
    expect(Buffer.compare(Buffer.from(echoed.stdout), bytes)).toBe(0)
    expect((await vm.guest.exec(['sh', '-c', 'exit 255']).unwrap()).exitCode).toBe(255)
  })

  test('names, descriptions and paths with special characters are unchanged', async () => {
    await using double = await PrlctlDouble.make()
    await using server = await connected(double)
    const odd = `-rf --help 'a' "b" $(id) \`id\` ; & | * ~ %s ünï`
    const image = join(double.folder, `${odd}\nsecond line.iso`.replaceAll('/', ''))
    await writeFile(image, 'an image')
    const description = `${odd}\nsecond line\n`
    const vm = await server.createVm({ name: odd, description, cdroms: [{ image }] }).unwrap()
    expect(vm.config).toMatchObject({ name: odd, description, cdroms: [{ image }] })
    const second = await server.createVm({ name: '--name' }).unwrap()
    const renamed = await second.edit({ name: '$(reboot)', description: '-d' }).unwrap()
    expect(renamed).toMatchObject({ name: '$(reboot)', description: '-d' })
    const snapshot = await vm.createSnapshot({ name: odd, description }).unwrap()
    expect(snapshot).toMatchObject({ name: odd, description })
    const missing = server.createVm({ name: 'x', cdroms: [{ image: `${image} too` }] })
    expect((await failureOf(missing, 'INVALID_ARGUMENT')).path).toBe('spec.cdroms[0].image')
    expect((await server.getVmList().unwrap()).map(({ name }) => name).sort()).toEqual(['$(reboot)', odd].sort())
  })

  test('ten megabytes of binary data are transferred both ways', async () => {
    await using double = await PrlctlDouble.make()
    await using server = await connected(double)
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    await vm.start().unwrap()
    // Most of it is not UTF-8.
    const bytes = Buffer.alloc(10_000_000, Buffer.from(Array.from({ length: 251 }, (_, index) => (index * 37) % 256)))
    const { stdout, isTruncated } = await vm.guest.exec(['cat'], { input: bytes, encoding: 'buffer' }).unwrap()
    expect(isTruncated).toBe(false)
    expect(Buffer.compare(Buffer.from(stdout), bytes)).toBe(0)
    const printed = String.raw`printf '\377\300\0\33[2Jx' >&2`
    const { stderr } = await vm.guest.exec(printed, { encoding: 'buffer' }).unwrap()
    expect([...stderr]).toEqual([0xff, 0xc0, 0, 0x1b, ...Buffer.from('[2Jx')])
  })

  test('a list with unescaped control characters and text before it is read', async () => {
    await using double = await PrlctlDouble.make()
    await using server = await connected(double)
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    await double.set({ rawInStrings: '\u0000\u0007\u001b[31m', jsonPrefix: 'Operation progress ...  5%' })
    expect(await server.getVmList().unwrap()).toEqual([vm])
    expect(await vm.getState().unwrap()).toBe('stopped')
  })

  test('files are copied in and out', async () => {
    await using double = await PrlctlDouble.make()
    await using server = await connected(double)
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    await vm.start().unwrap()
    const content = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 13) % 256))
    await writeFile(join(double.folder, 'in'), content)
    const inGuest = join(double.folder, `in the guest, it's "$x"`)
    await vm.guest.copyIn(join(double.folder, 'in'), inGuest).unwrap()
    await vm.guest.copyOut(inGuest, join(double.folder, 'out')).unwrap()
    expect(Buffer.compare(await readFile(join(double.folder, 'out')), content)).toBe(0)
  })

  test('a clone and a program are cancelled on the remote machine', async () => {
    await using double = await PrlctlDouble.make({ delays: { clone: 60_000 } })
    await using server = await connected(double)
    const vm = await server.createVm({ name: 'web-1' }).unwrap()
    const cloning = vm.clone({ name: 'never' })
    await within(cloning[Symbol.asyncIterator]().next(), () => 'progress of the clone')
    await cloning.cancel().unwrap()
    await failureOf(cloning, 'JOB_CANCELLED')
    expect(await server.getVmList().unwrap()).toEqual([vm])
    await vm.start().unwrap()
    const running = vm.guest.exec(['sleep', '600'])
    // On a busy machine, the confirmation may come too late.
    await failureOf(vm.guest.exec(['sleep', '600'], { timeoutMs: 500 }), 'TIMEOUT', 'OUTCOME_UNKNOWN')
    await running.cancel().unwrap()
    await failureOf(running, 'JOB_CANCELLED')
  })

  test('a program that hangs and ignores signals is killed on the remote machine', async () => {
    await using double = await PrlctlDouble.make()
    {
      await using server = await connected(double)
      const vm = await server.createVm({ name: 'web-1' }).unwrap()
      await double.set({ hangs: ['start'], hangsHard: true })
      const result = vm.start()
      void result
    }
    expect(await double.processes()).toEqual([])
  })

  test('an unreachable host, an unknown key, and a missing program', async () => {
    await using double = await PrlctlDouble.make()
    const nobody = `parallels+ssh://127.0.0.1:1?${new URLSearchParams({ sshConfig: ssh.config }).toString()}`
    expect((await failureOf(connect(nobody), 'CONNECTION_FAILED')).message).toContain('refused')
    const stranger = join(double.folder, 'stranger')
    await writeFile(stranger, (await readFile(ssh.config, 'utf8')).replace('/user\n', '/host\n'))
    await failureOf(connect(ssh.uriOf(double, stranger)), 'AUTHENTICATION_FAILED')
    const missing = await failureOf(connect(ssh.uriOf({ prlctl: '/nowhere/prlctl' })), 'HOST_TOOL_NOT_FOUND')
    expect(missing.hint).toContain('prlctl=')
  })
})
