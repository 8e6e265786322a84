/** Boots a Debian in this process, for `idle.ts`, and reports what share of a processor the process takes while the guest is idle. */
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from 'awaitvm'
import {
  bootDebianV86,
  debianCommandLine,
  debianFiles,
  debianMemoryMiB,
  debianReady,
  printed,
} from './support/debian-v86.js'

/** Until the guest has settled, and V8 has compiled what it runs. */
const settleMs = 15_000
const sampleMs = 3000
const rounds = 5

const [side] = process.argv.slice(2)

async function bootEmbedded(): Promise<void> {
  const server = await connect('embedded:').unwrap()
  const { kernel, initrd } = await debianFiles()
  const boot = { kernel, initrd, commandLine: debianCommandLine }
  const vm = await server.createVm({ name: 'debian', memoryMiB: debianMemoryMiB, boot }).unwrap()
  await vm.start().unwrap()
  await printed(vm, debianReady)
}

async function percentBusy(): Promise<number> {
  const [began, before] = [performance.now(), process.cpuUsage()]
  await delay(sampleMs)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 10 / (performance.now() - began)
}

await (side === 'v86' ? bootDebianV86() : bootEmbedded())
await delay(settleMs)
const samples: number[] = []
for (let round = 0; round < rounds; round += 1) samples.push(await percentBusy())
process.send?.(samples, () => process.exit())
