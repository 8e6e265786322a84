import { beforeEach, expect, test } from 'vitest'
import { definitionFormat } from '../../../src/drivers/qmp/definition-format.js'
import { VmInspector } from '../../../src/drivers/qmp/vm-inspector.js'
import { VmDirectory } from '../../../src/registry/vm-directory.js'
import { missingQemu, skipWithout } from '../../support/optional-tool.js'
import { QmpHost } from '../../support/qmp-host.js'

beforeEach((context) => {
  skipWithout(context, missingQemu)
})

test('a VM that another process has changed since its definition was read is looked at as it is now', async () => {
  await using host = await QmpHost.open()
  const { id } = await host.createVm()
  const directory = await VmDirectory.open(host.directory, definitionFormat)
  const inspector = new VmInspector(directory)
  const read = await directory.get(id)
  if (read === undefined) throw new Error('it is there')
  expect((await inspector.look(read)).state).toBe('stopped')
  await directory.save({ ...read, hasCrashed: true })
  expect((await inspector.look(read)).state).toBe('crashed')
  await directory.close()
})
