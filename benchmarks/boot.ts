/** Not a benchmark, but a process of `first-line` and `fifty`: `boot.js SIDE COUNT TIMES` boots COUNT VMs at once, TIMES times. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { connect, type Vm } from 'awaitvm'
import { answer } from './support/child.js'
import { bootV86, memoryMiB } from './support/v86.js'

/** Milliseconds until the last VM has printed its first line. */
type Side = (count: number) => Promise<number>

async function embedded(count: number): Promise<number> {
  await using server = await connect('embedded:').unwrap()
  const names = Array.from({ length: count }, (_, i) => `vm-${i}`)
  const vms = await Promise.all(names.map((name) => server.createVm({ name, memoryMiB }).unwrap()))
  const start = performance.now()
  await Promise.all(vms.map(startToFirstLine))
  return performance.now() - start
}

async function startToFirstLine(vm: Vm): Promise<void> {
  await vm.start().unwrap()
  for await (const chunk of vm.console()) {
    if (String(chunk).includes('\n')) return
  }
  throw new Error('The console ended before its first line')
}

async function v86(count: number): Promise<number> {
  const start = performance.now()
  const emulators = await Promise.all(Array.from({ length: count }, bootV86))
  const taken = performance.now() - start
  for (const emulator of emulators) await emulator.destroy()
  return taken
}

async function workers(count: number): Promise<number> {
  const start = performance.now()
  const threads = Array.from({ length: count }, () => new Worker(new URL('v86-worker.js', import.meta.url)))
  await Promise.all(threads.map((thread) => once(thread, 'message')))
  const taken = performance.now() - start
  await Promise.all(threads.map((thread) => thread.terminate()))
  return taken
}

const sides: Readonly<Record<string, Side>> = { embedded, v86, workers }
const [name = '', count, times] = process.argv.slice(2)
const taken: number[] = []
for (let i = 0; i < Number(times); i += 1) taken.push(await sides[name]!(Number(count)))
answer(taken)
