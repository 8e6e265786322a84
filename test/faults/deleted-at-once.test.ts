import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { connect, type Job, type Vm } from 'awaitvm'
import { expect, onTestFinished, test } from 'vitest'
import { Child } from '../support/child-process.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'

const calls: readonly ((vm: Vm) => Job<unknown>)[] = [
  (vm) => vm.getState(),
  (vm) => vm.refresh(),
  (vm) => vm.start(),
  (vm) => vm.stop({ mode: 'kill' }),
  (vm) => vm.edit({ description: 'edited' }),
  (vm) => vm.edit({ name: `${vm.name}-renamed` }),
  (vm) => vm.clone({ name: `${vm.name}-copy` }),
  (vm) => vm.createSnapshot({ name: 'one' }),
  (vm) => vm.getSnapshotTree(),
  (vm) => vm.getStatistics(),
  (vm) => vm.delete(),
]

const rounds = 4

test.for(['embedded', 'qmp'])(
  '%s: a VM that another process deletes in the same moment is not found by any operation',
  { timeout: 120_000 },
  async (scheme, context) => {
    if (scheme === 'qmp') skipWithout(context, missingQemu)
    const directory = await mkdtemp(join(tmpdir(), 'awaitvm-deleted-'))
    onTestFinished(() => rm(directory, { recursive: true, maxRetries: 3 }))
    await using server = await connect(`${scheme}://${directory}`).unwrap()
    await using other = new Child('host-child.ts', [`${scheme}://${directory}`])
    await other.printed('ready')
    for (let round = 0; round < rounds * calls.length; round += 1) {
      const name = `web-${String(round)}`
      const vm = await server.createVm({ name }).unwrap()
      other.send(`delete ${name}`)
      // From before the deletion to after it, as the machine has it.
      for (;;) {
        const result = await calls[round % calls.length]?.(vm)
        if (result?.isErr() === true) {
          expect(['VM_NOT_FOUND', 'RESOURCE_BUSY', 'INVALID_STATE', 'ALREADY_EXISTS'], result.error.message).toContain(
            result.error.code,
          )
          if (result.error.code === 'VM_NOT_FOUND') break
        }
        const isDecided = other.lines.some(
          (line) => line.endsWith(`delete ${name}`) || line.includes(`delete ${name}:`),
        )
        if (isDecided) break
        await turn()
      }
      if ((await vm.getState()).isErr()) continue
      await vm.stop({ mode: 'kill' })
      await vm.delete()
    }
    for (const vm of await server.getVmList().unwrap()) {
      if (vm.state !== 'stopped') await vm.stop({ mode: 'kill' }).unwrap()
      await vm.delete().unwrap()
    }
  },
)
