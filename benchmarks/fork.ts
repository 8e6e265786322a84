/**
 * How long do fifty clones with memory of one booted Debian take, compared with the bare means of each host, and with booting them?
 * `AWAITVM_BENCH_CLONES` is another number.
 */
import { alternate } from './support/alternate.js'
import { folderInMemory } from './support/bench-folder.js'
import { compare, ratioAtLeast, ratioAtMost, report, type Figure } from './support/figure.js'
import { ForkedEmbedded } from './support/fork-embedded.js'
import { ForkedQemu } from './support/fork-qemu.js'

const count = Number(process.env['AWAITVM_BENCH_CLONES'] ?? 50)
/** Each takes the same time as the others, and fifty would take many minutes. */
const boots = 2
const rounds = { rounds: 3, warmUps: 1 }

interface Forked {
  clones(count: number): Promise<number>
  bare(count: number): Promise<number>
  boots(count: number): Promise<number>
}

async function fork(host: string, forked: Forked, bare: string, limit: number): Promise<Figure[]> {
  const clones = `${String(count)} clones with memory, ${host}`
  const samples = await alternate({ [clones]: () => forked.clones(count), [bare]: () => forked.bare(count) }, rounds)
  const each = { clone: `clones with memory a minute, ${host}`, boot: `boots a minute` }
  const aMinute = (number: number, ms: number): number => (60_000 * number) / ms
  const booted = aMinute(boots, await forked.boots(boots))
  const perMinute = {
    [each.clone]: samples[clones]!.map((ms) => aMinute(count, ms)),
    [each.boot]: samples[clones]!.map(() => booted),
  }
  return [
    compare(samples, clones, bare, 'ms', ratioAtMost(limit)),
    compare(perMinute, each.clone, each.boot, '', ratioAtLeast(12)),
  ]
}

const figures: Figure[] = []
{
  await using embedded = await ForkedEmbedded.boot()
  figures.push(...(await fork('embedded', embedded, "v86's restore_state into threads that are ready", 1.3)))
}
{
  using folder = folderInMemory()
  await using qemu = await ForkedQemu.boot(folder.path)
  figures.push(...(await fork('QEMU', qemu, 'bare QEMUs with -incoming of the same memory', 1.2)))
}
report(figures)
