// Works on the VMs of a host for the tests of several processes: obeys lines on its standard input, changes VMs without end, or
// moves one to and fro.
import { closeSync, openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { connect, type Vm, VmError, type VmSpec, type VmState } from '../../src/index.js'

const [uri = '', mode = 'obey', kernel, target = ''] = process.argv.slice(2)
const server = await connect(uri).unwrap()

const spec: Omit<VmSpec, 'name'> = {
  disks: [{ sizeMiB: 1 }],
  ...(kernel !== undefined && { memoryMiB: 16, boot: { kernel } }),
  ...(target === 'tpm' && { tpm: true }),
}

/** Runs programs in a guest, several at a time, and sees that each has its own output. */
async function runPrograms(vm: Vm): Promise<void> {
  for (let round = 0; round < 5; round += 1) {
    const inputs = [0, 1, 2].map((place) => `${String(process.pid)}-${String(round)}-${String(place)}`)
    const results = await Promise.all(inputs.map((input) => vm.guest.exec(['cat'], { input }).unwrap()))
    const outputs = results.map(({ stdout }) => Buffer.from(stdout).toString())
    if (outputs.join() !== inputs.join()) throw new Error(`${outputs.join()} for ${inputs.join()}`)
  }
}

const held: number[] = []

/** Opens files until the process may open no more. */
function exhaust(): void {
  for (;;) {
    try {
      held.push(openSync('/dev/null', 'r'))
    } catch {
      return
    }
  }
}

async function tellStates(): Promise<void> {
  for await (const event of server.events({ types: ['state'] })) {
    if (event.type === 'state') console.log(`state ${event.name} ${event.state}`)
  }
}

async function obey(line: string): Promise<void> {
  const words = line.split(' ')
  const [verb = ''] = words
  const name = words.at(-1) ?? ''
  if (verb === 'create') await server.createVm({ name }).unwrap()
  else if (verb === 'image') await server.createVm({ name, disks: [{ image: words[1] ?? '' }] }).unwrap()
  else if (verb === 'ephemeral') await server.createVm({ ...spec, name, ephemeral: true }).unwrap()
  else if (verb === 'close') await server.close().unwrap()
  else if (verb === 'exhaust') exhaust()
  else if (verb === 'free') for (const file of held.splice(0)) closeSync(file)
  // Long enough for all timers of awaitvm.
  else if (verb === 'pass') await delay(1000)
  else {
    const vm = await server.getVm(name).unwrap()
    if (verb === 'start') await vm.start().unwrap()
    else if (verb === 'pause') await vm.pause().unwrap()
    else if (verb === 'resume') await vm.resume().unwrap()
    else if (verb === 'suspend') await vm.suspend().unwrap()
    else if (verb === 'edit') await vm.edit({ description: 'edited' }).unwrap()
    else if (verb === 'delete') await vm.delete().unwrap()
    else if (verb === 'await') await vm.waitForState(words[1] as VmState).unwrap()
    else if (verb === 'run') await runPrograms(vm)
    else if (verb === 'kill') await vm.stop({ mode: 'kill' }).unwrap()
    else if (verb === 'shutdown') await vm.stop(say(line)).unwrap()
    else if (verb === 'export') await vm.exportDisk(vm.config.disks[0]?.id ?? '', words[1] ?? '', say(line)).unwrap()
    else if (verb === 'extend') await vm.edit({ disks: [...vm.config.disks, { image: words[1] ?? '' }] }).unwrap()
    else if (verb === 'exchange') {
      await vm.edit({ disks: [{ image: words[1] ?? '' }], deleteDisks: vm.config.disks.map(({ id }) => id) }).unwrap()
    } else if (verb === 'clone') await vm.clone({ name: `${name}-copy`, ...say(line) }).unwrap()
    else throw new Error(`unknown: ${line}`)
  }
  console.log(`did ${line}`)
}

/** Prints each step before it is done. */
function say(operation: string): { onProgress: (progress: { phase?: string | undefined }) => void } {
  console.log(operation)
  return {
    onProgress: ({ phase }) => {
      if (phase !== undefined) console.log(`${operation}: ${phase}`)
    },
  }
}

/** Changes VMs without end, until it is killed. */
async function churn(): Promise<never> {
  for (let round = 0; ; round += 1) {
    const name = `churn-${String(process.pid)}-${String(round)}`
    const vm = await server.createVm({ ...spec, name }, say('create')).unwrap()
    console.log('churning')
    await vm.start(say('start')).unwrap()
    const snapshot = await vm.createSnapshot({ name: 'one', ...say('snapshot') }).unwrap()
    await vm.clone({ name: `${name}-clone`, ...say('clone') }).unwrap()
    if (server.capabilities.has('vm.clone.memory')) {
      const twin = await vm.clone({ name: `${name}-twin`, memory: true, ...say('twin') }).unwrap()
      const options = { name: `${name}-of-snapshot`, memory: true, snapshot, ...say('twin of a snapshot') }
      await (await vm.clone(options).unwrap()).delete({ force: true }).unwrap()
      await twin.delete({ force: true, ...say('delete the twin') }).unwrap()
    }
    await vm.suspend(say('suspend')).unwrap()
    await vm.resume(say('resume')).unwrap()
    await vm.switchToSnapshot(snapshot.id, say('switch')).unwrap()
    await vm.edit({ description: 'edited' }, say('edit')).unwrap()
    const disks = [...vm.config.disks.map((disk) => ({ ...disk, sizeMiB: 3 })), { sizeMiB: 2 }]
    await vm.edit({ disks, memoryMiB: 12 }, say('edit live')).unwrap()
    await vm.deleteSnapshot(snapshot.id, say('delete the snapshot')).unwrap()
    await vm.stop({ mode: 'kill', ...say('kill') }).unwrap()
    await vm.clone({ name: `${name}-copy`, ...say('copy') }).unwrap()
    const old = await vm.createSnapshot({ name: 'old' }).unwrap()
    await vm.clone({ name: `${name}-link`, linked: true, ...say('link') }).unwrap()
    await vm.switchToSnapshot(old.id, say('out of the base')).unwrap()
    if (round % 2 === 0) await vm.delete(say('delete')).unwrap()
  }
}

/** Makes ephemeral VMs without end, until it is killed. */
async function pass(): Promise<never> {
  for (let round = 0; ; round += 1) {
    const name = `passing-${String(process.pid)}-${String(round)}`
    await using vm = await server.createVm({ ...spec, name, ephemeral: true }, say('create')).unwrap()
    await vm.start(say('start')).unwrap()
    await using copy = await vm.clone({ name: `${name}-clone`, ephemeral: true, ...say('clone') }).unwrap()
    await copy.edit({ ephemeral: false }, say('keep')).unwrap()
    await copy.edit({ ephemeral: true }, say('give back')).unwrap()
    await vm.suspend(say('suspend')).unwrap()
    await copy.start(say('start the clone')).unwrap()
    console.log('dispose')
  }
}

/** Migrates a VM to and fro without end, until it is killed. */
async function wander(): Promise<never> {
  const other = await connect(target).unwrap()
  for (;;) {
    await (await server.getVm('web-1').unwrap()).migrate(target, say('there')).unwrap()
    await (await other.getVm('web-1').unwrap()).migrate(uri, say('back')).unwrap()
  }
}

if (mode === 'churn') await churn()
if (mode === 'pass') await pass()
if (mode === 'wander') await wander()
if (mode === 'watch') void tellStates()
console.log('ready')
for await (const line of createInterface({ input: process.stdin })) {
  await obey(line).catch((error: unknown) => {
    console.log(`failed ${line}: ${error instanceof VmError ? error.code : String(error)}`)
  })
}
