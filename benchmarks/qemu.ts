/** How much time does awaitvm add to a start of QEMU, to a hundred starts at once, and to a command of the monitor? */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { batch, connect, type Server, type Vm } from 'awaitvm'
import { openMonitor } from '../src/drivers/qmp/process/monitor.js'
import { alternate } from './support/alternate.js'
import { folderInMemory } from './support/bench-folder.js'
import { commandLinesIn, greeted, startBare } from './support/bare-qemu.js'
import { compare, ratioAtLeast, ratioAtMost, report, type Figure } from './support/figure.js'

/**
 * In memory: on a disk, the file system distorts the figures. ext4 does not reuse the place of a
 * file that was removed within the last seconds, and both sides remove many between their rounds: finding
 * another place takes up to 1 ms for each file, depending on the folder.
 */
using folder = folderInMemory()
let bareFolders = 0
const nextFolder = (): string => join(folder.path, `bare-${(bareFolders += 1)}`)

/** A guest that halts at its first instruction: its boot would be the same for both sides, and take longer than QEMU's start. */
const firmware = join(folder.path, 'halt.bin')
await writeFile(firmware, Buffer.alloc(65_536, 0xf4))

const makeVms = (server: Server, count: number): Promise<Vm[]> =>
  Promise.all(
    Array.from({ length: count }, (_, index) =>
      server.createVm({ name: `vm-${index}`, memoryMiB: 32, boot: { firmware } }).unwrap(),
    ),
  )

/** The system cleans up after a hundred ended processes for a while, which slows down new ones. */
const restMs = 500

/** Milliseconds that the work takes; the function that it returns cleans up, and is not timed. */
async function timed(work: () => Promise<() => Promise<unknown>>): Promise<number> {
  await delay(restMs)
  const start = performance.now()
  const clear = await work()
  const taken = performance.now() - start
  await clear()
  return taken
}

/** Starts this number of VMs at once, on both sides with the same command lines. */
async function starts(count: number, rounds: number): Promise<Figure> {
  const directory = join(folder.path, `vms-${count}`)
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

/** Sends one command after another, on both sides to the monitor of the same VM. */
async function commands(): Promise<Figure> {
  const directory = join(folder.path, 'commands')
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
        // With an id, which a client with several pending commands needs.
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

report([await starts(1, 15), await commands(), await starts(100, 7)])
