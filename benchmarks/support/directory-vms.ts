/** Directories with many VMs. */
import { randomUUID } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect } from 'awaitvm'
import * as v from 'valibot'
import { ask } from './child.js'

const callsSchema = v.object({ create: v.number(), find: v.number(), list: v.number() })

/** Milliseconds that each call takes. */
export type DirectoryCalls = Readonly<v.InferOutput<typeof callsSchema>>

const knownName = 'known'

/** Makes a directory with VMs: one of the host's own, and copies of its definition, which are made much faster. */
export async function fillDirectory(uri: string, count: number): Promise<void> {
  await using server = await connect(uri).unwrap()
  const vm = await server.createVm({ name: knownName }).unwrap()
  const vms = join(new URL(uri).pathname, 'vms')
  const text = await readFile(join(vms, vm.id, 'vm.json'), 'utf8')
  for (let serial = 1; serial < count; serial += 1) {
    const id = randomUUID()
    await mkdir(join(vms, id), { mode: 0o700 })
    const copy = text.replaceAll(vm.id, id).replace(`"${knownName}"`, `"vm-${serial}"`)
    await writeFile(join(vms, id, 'vm.json'), copy, { mode: 0o600 })
  }
  // The first new name makes the index of names complete.
  const another = await server.createVm({ name: 'another' }).unwrap()
  await another.delete().unwrap()
}

/** Measures the calls in a new process, by `directory-calls.ts`. */
export async function directoryCalls(uri: string): Promise<DirectoryCalls> {
  const script = join(dirname(fileURLToPath(import.meta.url)), 'directory-calls.js')
  return v.parse(callsSchema, await ask(script, uri, knownName))
}
