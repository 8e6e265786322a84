import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'awaitvm'
import { expect, test } from 'vitest'
import { DirectoryStore } from '../../../src/drivers/embedded/directory-store.js'
import { EmbeddedClaims } from '../../../src/drivers/embedded/embedded-claims.js'

test('a VM that another process has changed since its definition was read is shown as it is now', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'awaitvm-claims-test-'))
  await using server = await connect(`embedded://${folder}`).unwrap()
  const vm = await server.createVm({ name: 'web-1' }).unwrap()
  const store = await DirectoryStore.open(folder)
  const claims = new EmbeddedClaims(store)
  const read = await store.get(vm.id)
  if (read === undefined) throw new Error('it is there')
  await vm.start().unwrap()
  await vm.suspend().unwrap()
  expect([await claims.stateOf(read), await claims.stateForChange(read)]).toEqual(['suspended', 'suspended'])
  await store.close()
  await rm(folder, { recursive: true })
})
