/** What does awaitvm add to QEMU: to its start, to a hundred starts at once, and to a command of its monitor? */
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { batch, connect, type Server, type Vm } from 'awaitvm'
import { openMonitor } from '../src/drivers/qmp/process/monitor.js'
import { alternate } from './support/alternate.js'
import { commandLinesIn, greeted, startBare } from './support/bare-qemu.js'
import { compare, ratioAtLeast, ratioAtMost, report, type Figure } from './support/figure.js'

/**
 * In memory, where the system has that: on a disk, what is measured is also the file system's mood. ext4 does not give a new
 * file the place of one that was removed within the last seconds, and both ways remove many between their rounds: to look
 * for another takes it up to 1 ms for each, depending on the folder.
 */
const memory = '/dev/shm'
const folder = await mkdtemp(join(existsSync(memory) ? memory : tmpdir(), 'awaitvm-bench-'))
let bareFolders = 0
const nextFolder = (): string => join(folder, `bare-${(bareFolders += 1)}`)

/** A guest that halts at its first instruction: what it would do is the same in both ways, and takes longer than QEMU's start. */
const firmware = join(folder, 'halt.bin')
await writeFile(firmware, Buffer.alloc(65_536, 0xf4))

const makeVms = (server: Server, count: number): Promise<Vm[]> =>
  Promise.all(
    Array.from({ length: count }, (_, index) =>
      server.createVm({ name: `vm-${index}`, memoryMiB: 32, boot: { firmware } }).unwrap(),
    ),
  )

/** The system goes on clearing up behind a hundred processes that have ended, at the expense of those that start. */
const restMs = 500

/** Milliseconds that the work takes; what it answers clears up behind it, and is not timed. */
async function timed(work: () => Promise<() => Promise<unknown>>): Promise<number> {
  await delay(restMs)
  const start = performance.now()
  const clear = await work()
  const taken = performance.now() - start
  await clear()
  return taken
}

/** So many VMs started at once, in both ways, with the same command lines. */
async function starts(count: number, rounds: number): Promise<Figure> {
  const directory = join(folder, `vms-${count}`)
  await using server = await connect(`qmp://${directory}`, { maxConcurrentOperations: count }).unwrap()
  const vms = await makeVms(server, count)
  const stopAll = (): Promise<unknown> => Promise.all(vms.map((vm) => vm.stop({ mode: 'kill' }).unwrap()))
  await batch(vms, (vm) => vm.start(), { concurrency: count }).unwrap()
  const lines = await commandLinesIn(directory)
  await stopAll()
  const name = `start of ${count} VMs`
  const against = `${count} bare QEMUs`
  const samples = await alternate(
    {
      [name]: () =>
        timed(async () => {
          await batch(vms, (vm) => vm.start(), { concurrency: count }).unwrap()
          return stopAll
        }),
      [against]: () =>
        timed(async () => {
          const ends = await Promise.all(lines.map((line) => startBare(nextFolder(), line)))
          return () => Promise.all(ends.map((end) => end()))
        }),
    },
    { rounds, warmUps: 1 },
  )
  return compare(samples, name, against, 'ms', ratioAtMost(1.1))
}

/** One command after another, in both ways, on the monitor of the same VM. */
async function commands(): Promise<Figure> {
  const directory = join(folder, 'commands')
  await using server = await connect(`qmp://${directory}`).unwrap()
  const [vm] = await makeVms(server, 1)
  await vm!.start().unwrap()
  await vm!.pause().unwrap()
  const vmFolder = join(directory, 'vms', vm!.id)
  const times = 3000
  const perSecond = async (once: () => Promise<unknown>): Promise<number> => {
    const start = performance.now()
    for (let count = 0; count < times; count += 1) await once()
    return (times * 1000) / (performance.now() - start)
  }
  const samples = await alternate(
    {
      'QMP commands': async () => {
        const monitor = await openMonitor(vmFolder, 'control.sock')
        const rate = await perSecond(() => monitor.execute('query-status'))
        await monitor.close()
        return rate
      },
      'QMP by a raw socket': async () => {
        const socket = await greeted(join(vmFolder, 'control.sock'))
        let answered: () => void = () => undefined
        socket.on('data', () => {
          answered()
        })
        const ask = (text: string): Promise<void> =>
          new Promise((resolve) => {
            answered = resolve
            socket.write(text)
          })
        await ask('{"execute":"qmp_capabilities"}')
        // With an id, as whoever has more than one command under way needs it.
        const rate = await perSecond(() => ask('{"execute":"query-status","id":1}'))
        await new Promise((resolve) => socket.once('close', resolve).end())
        return rate
      },
    },
    { rounds: 7, warmUps: 1 },
  )
  await vm!.stop({ mode: 'kill' }).unwrap()
  return compare(samples, 'QMP commands', 'QMP by a raw socket', 'calls/s', ratioAtLeast(0.9))
}

try {
  report([await starts(1, 15), await commands(), await starts(100, 7)])
} finally {
  await rm(folder, { recursive: true, force: true })
}
