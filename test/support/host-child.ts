// Runs VMs of an embedded directory for the tests of several processes: obeys lines on its standard input.
import { createInterface } from 'node:readline'
import { connect } from '../../src/index.js'

const [directory = '', mode = 'obey'] = process.argv.slice(2)
const server = await connect(`embedded://${directory}`).unwrap()

async function obey(line: string): Promise<void> {
  const [verb = '', name = ''] = line.split(' ')
  if (verb === 'create') await server.createVm({ name }).unwrap()
  else if (verb === 'close') await server.close().unwrap()
  else {
    const vm = await server.getVm(name).unwrap()
    if (verb === 'start') await vm.start().unwrap()
    else if (verb === 'pause') await vm.pause().unwrap()
    else if (verb === 'resume') await vm.resume().unwrap()
    else if (verb === 'suspend') await vm.suspend().unwrap()
    else if (verb === 'kill') await vm.stop({ mode: 'kill' }).unwrap()
    else throw new Error(`unknown: ${line}`)
  }
  console.log(`did ${line}`)
}

/** Changes VMs without end, to be killed in the midst of it. */
async function churn(): Promise<never> {
  for (let round = 0; ; round += 1) {
    const name = `churn-${String(process.pid)}-${String(round)}`
    const vm = await server.createVm({ name, disks: [{ sizeMiB: 1 }] }).unwrap()
    console.log('churning')
    await vm.start().unwrap()
    const snapshot = await vm.createSnapshot({ name: 'one' }).unwrap()
    await vm.clone({ name: `${name}-clone` }).unwrap()
    await vm.suspend().unwrap()
    await vm.resume().unwrap()
    await vm.switchToSnapshot(snapshot.id).unwrap()
    await vm.edit({ description: 'edited' }).unwrap()
    await vm.deleteSnapshot(snapshot.id).unwrap()
    await vm.stop({ mode: 'kill' }).unwrap()
    if (round % 2 === 0) await vm.delete().unwrap()
  }
}

if (mode === 'churn') await churn()
console.log('ready')
for await (const line of createInterface({ input: process.stdin })) await obey(line)
