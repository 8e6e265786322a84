// Gives names to VMs of a directory, in competition with other processes: the same names as the others; or names of its own, which it
// changes until it is killed.
import { randomUUID } from 'node:crypto'
import { AlreadyExistsError } from '../../src/errors.js'
import { VmDirectory } from '../../src/registry/vm-directory.js'
import { plainFormat } from './plain-format.js'

const [root = '', rounds = '0'] = process.argv.slice(2)
const directory = await VmDirectory.open(root, plainFormat)
const newVm = (name: string): { id: string; name: string; createdAt: string } => ({
  id: randomUUID(),
  name,
  createdAt: new Date().toISOString(),
})

async function race(): Promise<void> {
  for (let round = 0; round < Number(rounds); round += 1) {
    const name = `vm-${String(round)}`
    try {
      await directory.create(newVm(name), async () => undefined)
      console.log(`made ${name}`)
    } catch (error) {
      if (!(error instanceof AlreadyExistsError)) throw error
    }
  }
  console.log('done')
}

async function churn(): Promise<never> {
  console.log('begun')
  for (;;) {
    const vm = newVm(`new-${randomUUID()}`)
    await directory.create(vm, async () => undefined)
    await directory.save({ ...vm, name: `renamed-${randomUUID()}` })
    const other = newVm(`kept-${randomUUID()}`)
    await directory.create(other, async () => undefined)
    await directory.delete(vm.id)
  }
}

await (rounds === '0' ? churn() : race())
await directory.close()
