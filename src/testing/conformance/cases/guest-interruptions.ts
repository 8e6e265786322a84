import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import type { ExecJob } from '../../../exec/exec-job.js'
import type { Capability } from '../../../operations.js'
import type { Vm } from '../../../vm.js'
import type { VmState } from '../../../model/vm-state.js'
import { patience, within } from '../deadline.js'
import { failureOf } from '../expect-failure.js'
import { beginProgram } from '../guest-program.js'
import { outputOf } from '../guest-output.js'
import { OutputReader } from '../output-reader.js'
import type { Cases } from '../case.js'

/** Operations that end the programs of a guest for good, and the state that each leads to. */
const endsOfPrograms: readonly (readonly [string, readonly Capability[], (vm: Vm) => Promise<unknown>, VmState])[] = [
  ['killed', ['vm.stop'], (vm) => vm.stop({ mode: 'kill' }).unwrap(), 'stopped'],
  ['reset', ['vm.reset'], (vm) => vm.reset().unwrap(), 'running'],
]

/** Asserts an unknown outcome: the program has run, and its end is unknown. */
async function expectUnknownEnd(program: ExecJob): Promise<void> {
  const output = new OutputReader(program.stderr)
  await within(program, () => 'the end of the program')
  expect((await failureOf(program, 'OUTCOME_UNKNOWN')).hint).toBeTruthy()
  await output.untilClosed()
}

/** A program that ends with exit code 5 once the file is there. */
async function waitingProgram(vm: Vm): Promise<{ job: ExecJob; file: string }> {
  const file = `/tmp/awaitvm-go-${randomBytes(6).toString('hex')}`
  const { job } = await beginProgram(vm, `until [ -e ${file} ]; do sleep 0.1; done; rm ${file}; exit 5`)
  return { job, file }
}

/** Tells the program to end, once the guest answers: it ends with its exit code, or nobody knows. */
async function expectEndOrUnknown(vm: Vm, { job, file }: { job: ExecJob; file: string }): Promise<void> {
  const touch = async (): Promise<void> => {
    for (;;) {
      const result = await vm.guest.exec(['touch', file])
      if (result.isOk()) return
      expect(result.error.code).toBe('GUEST_UNAVAILABLE')
    }
  }
  await within(touch(), () => 'a guest that answers again')
  const result = await within(job, () => 'the end of the program')
  if (result.isOk()) expect(result.value.exitCode).toBe(5)
  else expect(await failureOf(Promise.resolve(result), 'OUTCOME_UNKNOWN')).toMatchObject({ code: 'OUTCOME_UNKNOWN' })
}

export const guestInterruptions: Cases = ({ promises }) => {
  promises(
    'a pause of its VM does not change how a program ends',
    ['guest.exec', 'agent', 'vm.pause', 'vm.resume'],
    async (trial) => {
      const vm = await trial.vmWithAgent()
      const { job, pid } = await beginProgram(vm)
      await vm.pause().unwrap()
      expect((await failureOf(vm.guest.exec(['true']), 'INVALID_STATE')).state).toBe('paused')
      await vm.resume().unwrap()
      expect(job.status).toBe('running')
      await outputOf(vm, ['kill', '-9', String(pid)])
      const { exitCode, signal } = await job.unwrap()
      expect(exitCode === undefined ? signal : exitCode - 128).toBe(exitCode === undefined ? 'SIGKILL' : 9)
    },
  )

  for (const [happens, needs, change, state] of endsOfPrograms) {
    promises(
      `a program that runs when its VM is ${happens} has an unknown outcome`,
      ['guest.exec', 'agent', ...needs],
      async (trial) => {
        const vm = await trial.vmWithAgent()
        const { job } = await beginProgram(vm)
        await change(vm)
        await expectUnknownEnd(job)
        await trial.expectState(vm, state)
      },
    )
  }

  promises(
    'a program whose VM is suspended and resumed ends with its outcome, or with an unknown one',
    ['guest.exec', 'agent', 'vm.suspend', 'vm.resume'],
    async (trial) => {
      const vm = await trial.vmWithAgent()
      const program = await waitingProgram(vm)
      await vm.suspend().unwrap()
      await vm.resume().unwrap()
      await expectEndOrUnknown(vm, program)
      await trial.expectState(vm, 'running')
    },
  )

  promises(
    'a program whose VM is suspended and then killed has an unknown outcome',
    ['guest.exec', 'agent', 'vm.suspend', 'vm.stop'],
    async (trial) => {
      const vm = await trial.vmWithAgent()
      const { job } = await beginProgram(vm)
      await vm.suspend().unwrap()
      await vm.stop({ mode: 'kill' }).unwrap()
      await expectUnknownEnd(job)
    },
  )

  promises(
    'a program whose VM is migrated ends with its outcome, or with an unknown one',
    ['guest.exec', 'agent', 'vm.migrate'],
    async (trial) => {
      const vm = await trial.vmWithAgent()
      const { job } = await beginProgram(vm)
      await vm.migrate(trial.opened.migrationTarget!).unwrap()
      await expectUnknownEnd(job)
    },
  )

  promises(
    'a program whose guest crashes or reboots has an unknown outcome',
    ['guest.exec', 'agent', 'vm.reset'],
    async (trial) => {
      const vm = await trial.vmWithAgent()
      const programs = await Promise.all([beginProgram(vm), beginProgram(vm)])
      await vm.reset().unwrap()
      for (const { job } of programs) await expectUnknownEnd(job)
      // A program of the next boot is not confused with one of the last.
      const answer = async (): Promise<void> => {
        for (;;) {
          const result = await vm.guest.exec(['echo', 'new'])
          if (result.isOk()) {
            expect(result.value.stdout).toBe('new\n')
            return
          }
          expect(result.error.code).toBe('GUEST_UNAVAILABLE')
        }
      }
      await within(answer(), () => 'a guest that answers again')
      await vm.waitForState('running', patience).unwrap()
    },
  )

  promises(
    'a program from before a switch of snapshots is not confused with one from after it',
    ['guest.exec', 'agent', 'vm.createSnapshot', 'vm.switchToSnapshot'],
    async (trial) => {
      const vm = await trial.vmWithAgent()
      const snapshot = await vm.createSnapshot({ name: 'before' }).unwrap()
      const { job } = await beginProgram(vm)
      await vm.switchToSnapshot(snapshot.id).unwrap()
      if (vm.state !== 'running') await vm.start().unwrap()
      const run = async (): Promise<string> => {
        for (;;) {
          const result = await vm.guest.exec(['sh', '-c', 'sleep 2; echo after'])
          if (result.isOk()) return result.value.stdout
          expect(result.error.code).toBe('GUEST_UNAVAILABLE')
        }
      }
      const [output] = await Promise.all([run(), expectUnknownEnd(job)])
      expect(output).toBe('after\n')
    },
  )
}
