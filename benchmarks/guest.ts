/** How much time does awaitvm add to work inside a guest of QEMU: programs, their live output, and copies? */
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Vm } from 'awaitvm'
import { alternate, median } from './support/alternate.js'
import { folderInMemory } from './support/bench-folder.js'
import { BenchGuests } from './support/bench-guests.js'
import { compare, ratioAtLeast, ratioAtMost, report, valueAtMost, type Figure } from './support/figure.js'
import { streamedPeakMiB } from './support/streamed-peak.js'

using folder = folderInMemory()
const local = (name: string): string => join(folder.path, name)

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

/** Longer than any part takes on a loaded machine. */
const partTimeoutMs = 300_000

/** Fails if a part hangs. What it has under way ends with the guests. */
async function inTime<T>(name: string, part: Promise<T>): Promise<T> {
  const done = new AbortController()
  const late = delay(partTimeoutMs, undefined, { signal: done.signal }).then(() => {
    throw new Error(`${name} took longer than ${partTimeoutMs / 1000} s`)
  })
  try {
    return await Promise.race([part, late])
  } finally {
    late.catch(() => undefined)
    done.abort()
  }
}

/** `exec(['true'])`, one after another and 16 at once, and 10 MB of output. */
async function programs({ vm, agent }: BenchGuests): Promise<Figure[]> {
  const one = await alternate(
    {
      "exec(['true'])": () => milliseconds(() => vm.guest.exec(['true']).unwrap()),
      'a raw loop on the agent': () => milliseconds(() => agent.run('true')),
    },
    { rounds: 60, warmUps: 5 },
  )
  const sixteen = Array.from({ length: 16 })
  const many = await alternate(
    {
      'the same, 16 at once': () =>
        milliseconds(() => Promise.all(sixteen.map(() => vm.guest.exec(['true']).unwrap()))),
      '16 raw loops at once': () => milliseconds(() => Promise.all(sixteen.map(() => agent.run('true')))),
    },
    { rounds: 15, warmUps: 2 },
  )
  const bytes = 10_000_000
  const rate = async (run: () => Promise<number>): Promise<number> => {
    const start = performance.now()
    const length = await run()
    if (length !== bytes) throw new Error(`the output has ${length} bytes, and was to have ${bytes}`)
    return bytes / 1000 / (performance.now() - start)
  }
  const large = await alternate(
    {
      '10 MB of output': () =>
        rate(async () => {
          const program = vm.guest.exec(['head', '-c', String(bytes), '/dev/zero'], { encoding: 'buffer' })
          return (await program.unwrap()).stdout.length
        }),
      'the same by a raw loop': () =>
        rate(async () => (await agent.run('head', '-c', String(bytes), '/dev/zero')).length),
    },
    { rounds: 5, warmUps: 1 },
  )
  return [
    compare(one, "exec(['true'])", 'a raw loop on the agent', 'ms', ratioAtMost(1.3)),
    compare(many, 'the same, 16 at once', '16 raw loops at once', 'ms', ratioAtMost(1.5)),
    compare(large, '10 MB of output', 'the same by a raw loop', 'MB/s', ratioAtLeast(0.8)),
  ]
}

/** How late the end of a program is told: a raw loop tells it within some milliseconds. */
async function ends({ vm, agent }: BenchGuests, seconds: number): Promise<Figure> {
  const name = `exec(['sleep', '${seconds}'])`
  const against = `sleep ${seconds} by a raw loop`
  const samples = await alternate(
    {
      [name]: () => milliseconds(() => vm.guest.exec(['sleep', String(seconds)]).unwrap()),
      [against]: () => milliseconds(() => agent.run('sleep', String(seconds))),
    },
    { rounds: 5, warmUps: 1 },
  )
  const limit = Math.round(median(samples[against] ?? []) * 1.05 + 20)
  return compare(samples, name, against, 'ms', valueAtMost(limit))
}

/** The line typed on the serial console makes a program of the guest write; how long until its first byte is here? */
async function firstByte({ vm, agent, port, serialSocket }: BenchGuests): Promise<Figure> {
  const trigger = 'mkfifo /run/go 2>/dev/null; read -r line </run/go;'
  const program = vm.guest.exec(['sh', '-c', `while :; do ${trigger} echo "$line"; done`])
  const stdout = program.stdout.resume()
  const console = vm.console()
  console.resume()
  const bare = createConnection(serialSocket).resume()
  await agent.start('/bin/sh', '-c', `while :; do ${trigger} echo "$line" >${port.device}; done`)
  const line = 'echo now > /run/go\r'
  const samples = await alternate(
    {
      'first byte of live output': async () => {
        const byte = new Promise((resolve) => stdout.once('data', resolve))
        return await milliseconds(async () => {
          console.write(line)
          await byte
        })
      },
      'first byte on a raw port': async () => {
        const byte = await port.nextByte()
        return await milliseconds(async () => {
          bare.write(line)
          await byte()
        })
      },
    },
    { rounds: 20, warmUps: 3 },
  )
  await program.cancel().unwrap()
  console.destroy()
  bare.destroy()
  return compare(samples, 'first byte of live output', 'first byte on a raw port', 'ms', valueAtMost(250))
}

/** A file of 1 KB, as by scp. */
async function smallCopies({ vm, scp }: BenchGuests): Promise<Figure[]> {
  await writeFile(local('small'), randomBytes(1000))
  const samples = await alternate(
    {
      'copyIn of 1 KB': () => milliseconds(() => vm.guest.copyIn(local('small'), '/root/small').unwrap()),
      'scp of 1 KB in': () => milliseconds(() => scp(local('small'), 'guest:/root/small')),
      'copyOut of 1 KB': () => milliseconds(() => vm.guest.copyOut('/root/small', local('small-out')).unwrap()),
      'scp of 1 KB out': () => milliseconds(() => scp('guest:/root/small', local('small-out'))),
    },
    { rounds: 10, warmUps: 2 },
  )
  return [
    compare(samples, 'copyIn of 1 KB', 'scp of 1 KB in', 'ms', ratioAtMost(0.5)),
    compare(samples, 'copyOut of 1 KB', 'scp of 1 KB out', 'ms', ratioAtMost(0.5)),
  ]
}

const bulkBytes = 50_000_000
const bulkRate = async (work: () => Promise<unknown>): Promise<number> => bulkBytes / 1000 / (await milliseconds(work))

/** A file of 50 MB, as by scp and by a port of one's own. */
async function largeCopies({ vm, scp, port }: BenchGuests): Promise<Figure[]> {
  const samples = await alternate(
    {
      'copyIn of 50 MB': () => bulkRate(() => vm.guest.copyIn(local('large'), '/root/large').unwrap()),
      'scp of 50 MB in': () => bulkRate(() => scp(local('large'), 'guest:/root/large')),
      '50 MB in by a raw port': () => bulkRate(() => port.copyIn(local('large'), '/root/large', bulkBytes)),
      'copyOut of 50 MB': () => bulkRate(() => vm.guest.copyOut('/root/large', local('out')).unwrap()),
      'scp of 50 MB out': () => bulkRate(() => scp('guest:/root/large', local('out'))),
      '50 MB out by a raw port': () => bulkRate(() => port.copyOut('/root/large', local('out'), bulkBytes)),
    },
    { rounds: 3, warmUps: 1 },
  )
  return [
    compare(samples, 'copyIn of 50 MB', 'scp of 50 MB in', 'MB/s', ratioAtLeast(1)),
    compare(samples, 'copyIn of 50 MB', '50 MB in by a raw port', 'MB/s', ratioAtLeast(0.7)),
    compare(samples, 'copyOut of 50 MB', 'scp of 50 MB out', 'MB/s', ratioAtLeast(1)),
    compare(samples, 'copyOut of 50 MB', '50 MB out by a raw port', 'MB/s', ratioAtLeast(0.7)),
  ]
}

/** The same file by SSH, as by scp. */
async function copiesBySsh(vm: Vm, { scp }: BenchGuests): Promise<Figure[]> {
  const samples = await alternate(
    {
      'copyIn of 50 MB by SSH': () => bulkRate(() => vm.guest.copyIn(local('large'), '/root/by-ssh').unwrap()),
      'scp of 50 MB in': () => bulkRate(() => scp(local('large'), 'guest:/root/large')),
      'copyOut of 50 MB by SSH': () => bulkRate(() => vm.guest.copyOut('/root/by-ssh', local('out')).unwrap()),
      'scp of 50 MB out': () => bulkRate(() => scp('guest:/root/large', local('out'))),
    },
    { rounds: 3, warmUps: 1 },
  )
  return [
    compare(samples, 'copyIn of 50 MB by SSH', 'scp of 50 MB in', 'MB/s', ratioAtLeast(0.7)),
    compare(samples, 'copyOut of 50 MB by SSH', 'scp of 50 MB out', 'MB/s', ratioAtLeast(0.7)),
  ]
}

/** The memory that a stream of 256 MiB takes, over that before it. */
async function memoryOf(name: string, vm: Vm): Promise<Figure> {
  const peaks = { [name]: [await streamedPeakMiB(vm, 256)], '256 MiB streamed': [256] }
  return compare(peaks, name, '256 MiB streamed', 'MiB', valueAtMost(64))
}

await using guests = await BenchGuests.boot(folder.path)
await delay(1000)
await writeFile(local('large'), randomBytes(bulkBytes))
const figures = [
  ...(await inTime('programs', programs(guests))),
  await inTime('the end of a program of 1 s', ends(guests, 1)),
  await inTime('the end of a program of 3 s', ends(guests, 3)),
  await inTime('live output', firstByte(guests)),
  ...(await inTime('copies of 1 KB', smallCopies(guests))),
  ...(await inTime('copies of 50 MB', largeCopies(guests))),
  await inTime('a stream', memoryOf('memory of a program that writes 256 MiB', guests.vm)),
]
const bySsh = await guests.vmBySsh()
figures.push(
  ...(await inTime('copies by SSH', copiesBySsh(bySsh, guests))),
  await inTime('a stream by SSH', memoryOf('the same by SSH', bySsh)),
)
report(figures)
