import { expect } from 'vitest'
import type { JsonValue } from '../../../model/json.js'
import { failureOf } from '../expect-failure.js'
import type { Cases } from '../case.js'
import { needsOf } from '../reachable-states.js'

/** Commands that awaitvm keeps to itself, with what it names instead. */
const owned: Readonly<Record<string, string>> = {
  quit: 'vm.stop(',
  stop: 'vm.pause()',
  cont: 'vm.resume()',
  system_reset: 'vm.reset()',
  migrate: 'vm.migrate()',
  'snapshot-load': 'snapshots',
  'human-monitor-command': 'info',
}

/** Arguments that are no plain object, with the path that the error names. */
const wrongArguments: readonly (readonly [args: unknown, path: string])[] = [
  ['id=disk', 'arguments'],
  [[], 'arguments'],
  [null, 'arguments'],
  [{ at: new Date(0) }, 'arguments.at'],
  [{ list: [1, { size: NaN }] }, 'arguments.list[1].size'],
  [{ run: () => 'it' }, 'arguments.run'],
  [{ text: 'x'.repeat(300_000) }, 'arguments'],
]

/** Raw commands to the hypervisor of a VM. */
export const nativeCommands: Cases = ({ promises }) => {
  for (const state of ['running', 'paused'] as const) {
    promises(`a raw command to a ${state} VM is answered`, ['native.qmp', ...needsOf(state)], async (trial) => {
      const vm = await trial.vmIn(state)
      const expected: JsonValue = { running: state === 'running', status: state }
      expect(await vm.native.qmp('query-status').unwrap()).toMatchObject(expected)
      expect(await vm.native.qmp('query-status', {}).unwrap()).toMatchObject(expected)
      await trial.expectState(vm, state)
    })
  }

  promises(
    'a raw command that the hypervisor does not have ends with INVALID_ARGUMENT',
    ['native.qmp', ...needsOf('running')],
    async (trial) => {
      const vm = await trial.vmIn('running')
      for (const command of ['no-such-command', 'query-nothing']) {
        const error = await failureOf(vm.native.qmp(command), 'INVALID_ARGUMENT')
        expect(error.path).toBe('command')
        expect(error.message).toContain(`Cannot send a QMP command to VM ${JSON.stringify(vm.name)}: `)
        expect(error.message).toContain(command)
      }
      await trial.expectState(vm, 'running')
    },
  )

  promises(
    'raw commands that awaitvm keeps to itself are refused, and nothing is sent',
    ['native.qmp', ...needsOf('running')],
    async (trial) => {
      const vm = await trial.vmIn('running')
      for (const [command, instead] of Object.entries(owned)) {
        const job = vm.native.qmp(command)
        expect(job.status).toBe('finished')
        const error = await failureOf(job, 'INVALID_ARGUMENT')
        expect(error.path).toBe('command')
        expect(error.hint).toContain(instead)
      }
      await trial.expectState(vm, 'running')
    },
  )

  promises(
    'a raw command with a wrong name or wrong arguments ends with INVALID_ARGUMENT, and nothing is sent',
    ['native.qmp', ...needsOf('running')],
    async (trial) => {
      const vm = await trial.vmIn('running')
      for (const command of ['', 'query status', 'query-status"', '-quit', 7, undefined, 'x'.repeat(200)]) {
        const error = await failureOf(vm.native.qmp(command as string), 'INVALID_ARGUMENT')
        expect(error.path).toBe('command')
      }
      for (const [args, path] of wrongArguments) {
        const job = vm.native.qmp('query-status', args as never)
        expect(job.status).toBe('finished')
        expect((await failureOf(job, 'INVALID_ARGUMENT')).path).toBe(path)
      }
      await trial.expectState(vm, 'running')
    },
  )
}
