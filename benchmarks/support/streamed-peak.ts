/** How much memory a program takes here that writes much to a stream. */
import type { Vm } from 'awaitvm'
import { garbageCollector } from './alternate.js'

const mebibyte = 2 ** 20

const used = (): number => {
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / mebibyte
}

/** The most memory in use, garbage included, over that before, in MiB, as so many MiB of output are read. */
export async function streamedPeakMiB(vm: Vm, mebibytes: number): Promise<number> {
  const bytes = mebibytes * mebibyte
  garbageCollector()()
  const before = used()
  let peak = 0
  let length = 0
  const program = vm.guest.exec(['head', '-c', String(bytes), '/dev/zero'], { maxOutputBytes: 0 })
  for await (const chunk of program.stdout as AsyncIterable<Buffer>) {
    length += chunk.length
    peak = Math.max(peak, used() - before)
  }
  await program.unwrap()
  if (length !== bytes) throw new Error(`the program wrote ${length} bytes, and was to write ${bytes}`)
  return peak
}
