import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { expect } from 'vitest'
import type { Capability } from '../../../operations.js'
import type { Vm } from '../../../vm.js'
import type { VmState } from '../../../model/vm-state.js'
import { within } from '../deadline.js'
import { failureOf } from '../expect-failure.js'
import { vmCalls, vmOperations } from '../calls.js'
import { outputOf } from '../guest-output.js'
import type { Cases } from '../case.js'

/** Arguments that a shell, an option parser or a line protocol would misread. */
const oddArguments = [
  '',
  ' ',
  'two  words',
  "it's",
  '"quoted"',
  '$HOME',
  '`id`',
  '$(id)',
  '*',
  '~',
  '\\',
  'back\\slash\\',
  'a\nb',
  'tab\there',
  '-rf',
  '--',
  ';',
  '&',
  '| cat',
  '> /tmp/x',
  '%s%n',
  '#',
  '!',
  '{a,b}',
  'Ünïcödé 虚拟机 🚀',
]

const printArguments = ['sh', '-c', 'for word in "$@"; do printf "[%s]\\n" "$word"; done', 'sh']

/** A program that runs until it is stopped, and its process id. */
async function endlessProgram(vm: Vm): Promise<{ job: ReturnType<Vm['guest']['exec']>; pid: string }> {
  const file = `/tmp/awaitvm-pid-${randomBytes(6).toString('hex')}`
  const job = vm.guest.exec(['sh', '-c', 'echo $$ >"$0.new" && mv "$0.new" "$0" && exec sleep 600', file])
  const find = async (): Promise<string> => {
    for (;;) {
      const { exitCode, stdout } = await vm.guest.exec(['cat', file]).unwrap()
      if (exitCode === 0) return Buffer.from(stdout).toString().trim()
    }
  }
  const pid = await within(find(), () => 'the program to begin')
  await outputOf(vm, ['rm', file])
  return { job, pid }
}

/** Operations that end the programs of a guest, and the state that each leads to. */
const endsOfPrograms: readonly (readonly [string, readonly Capability[], (vm: Vm) => Promise<unknown>, VmState])[] = [
  ['suspended', ['vm.suspend'], (vm) => vm.suspend().unwrap(), 'suspended'],
  ['killed', ['vm.stop'], (vm) => vm.stop({ mode: 'kill' }).unwrap(), 'stopped'],
  ['reset', ['vm.reset'], (vm) => vm.reset().unwrap(), 'running'],
]

/** Asserts an unknown outcome: the program has run, and its end is unknown. */
async function expectUnknownEnd(program: ReturnType<Vm['guest']['exec']>): Promise<void> {
  await within(program, () => 'the end of the program')
  expect((await failureOf(program, 'OUTCOME_UNKNOWN')).hint).toBeTruthy()
}

export const guestAgent: Cases = ({ host, promises, promisesInGuest }) => {
  for (const operation of vmOperations.filter((operation) => operation.startsWith('guest.'))) {
    promises(`${operation} ends with GUEST_UNAVAILABLE if no agent answers`, [operation, 'vm.start'], async (trial) => {
      await writeFile(trial.path('in'), 'x')
      const vm = await trial.createVm(trial.host.specWithoutAgent ?? trial.profile.spec)
      await vm.start().unwrap()
      const error = await failureOf(vmCalls[operation](vm, trial), 'GUEST_UNAVAILABLE')
      expect(error.hint).toBeTruthy()
      await trial.expectState(vm, 'running')
    })
  }

  promises(
    'GUEST_UNAVAILABLE of a guest that boots is retryable until its agent answers',
    ['guest.exec', 'agent'],
    async (trial) => {
      const vm = await trial.bootVmWithAgent()
      const answer = async (): Promise<void> => {
        for (;;) {
          const result = await vm.guest.exec(['true'])
          if (result.isOk()) return
          expect(result.error).toMatchObject({ code: 'GUEST_UNAVAILABLE', retryable: true })
        }
      }
      await within(answer(), () => 'the agent')
    },
  )

  promisesInGuest('a program gets its arguments unchanged', ['guest.exec'], async (vm) => {
    const expected = oddArguments.map((word) => `[${word}]\n`).join('')
    expect(await outputOf(vm, [...printArguments, ...oddArguments])).toBe(expected)
  })

  promisesInGuest('a program gets its standard input byte for byte', ['guest.exec'], async (vm) => {
    const input = Buffer.from(Array.from({ length: 70_000 }, (_, index) => (index * 7) % 256))
    const { stdout } = await vm.guest.exec(['cat'], { input, encoding: 'buffer' }).unwrap()
    expect(Buffer.compare(Buffer.from(stdout), input)).toBe(0)
    const { stderr } = await vm.guest.exec(['sh', '-c', 'cat >&2'], { input, encoding: 'buffer' }).unwrap()
    expect(Buffer.compare(Buffer.from(stderr), input)).toBe(0)
    expect(await outputOf(vm, ['cat'], { input: 'Ünïcödé' })).toBe('Ünïcödé')
    expect(await outputOf(vm, ['cat'])).toBe('')
    // A program need not read its input.
    expect(await outputOf(vm, ['true'], { input })).toBe('')
  })

  promisesInGuest('standard output and standard error are separate', ['guest.exec'], async (vm) => {
    const result = await vm.guest.exec(['sh', '-c', 'printf out; printf err >&2; exit 3']).unwrap()
    expect(result).toEqual({
      exitCode: 3,
      stdout: 'out',
      stderr: 'err',
      isTruncated: false,
      durationMs: expect.any(Number) as number,
    })
  })

  promisesInGuest('every exit code comes back unchanged', ['guest.exec'], async (vm) => {
    for (const code of [0, 1, 2, 126, 253, 254, 255]) {
      const { exitCode } = await vm.guest.exec(['sh', '-c', 'exit "$1"', 'sh', String(code)]).unwrap()
      expect(exitCode).toBe(code)
    }
  })

  promisesInGuest('the result of a program that a signal ended names the signal', ['guest.exec'], async (vm) => {
    const { exitCode, signal } = await vm.guest.exec(['sh', '-c', 'kill -9 $$']).unwrap()
    // Reported by the kernel, or by a shell in between.
    expect(['SIGKILL', 128 + 9]).toContain(exitCode ?? signal)
  })

  promisesInGuest(
    'a program that does not exist ends with an error or an exit code that says so',
    ['guest.exec'],
    async (vm) => {
      const result = await vm.guest.exec(['awaitvm-no-such-program'])
      if (result.isOk()) expect(result.value.exitCode).toBe(127)
      else expect(await failureOf(Promise.resolve(result), 'INVALID_ARGUMENT')).toMatchObject({ path: 'command[0]' })
    },
  )

  promisesInGuest('a program has the environment variables that it is given', ['guest.exec'], async (vm) => {
    const env = { AWAITVM_PLAIN: 'plain', AWAITVM_ODD: ` it's "$HOME" \`id\`\n=; ` }
    const script = 'printf "%s|%s|%s" "$AWAITVM_PLAIN" "$AWAITVM_ODD" "${AWAITVM_NONE-none}"'
    expect(await outputOf(vm, ['sh', '-c', script], { env })).toBe(`plain|${env.AWAITVM_ODD}|none`)
  })

  promisesInGuest('a program runs in the folder that it is given', ['guest.exec'], async (vm) => {
    expect(await outputOf(vm, ['pwd'], { cwd: '/usr' })).toBe('/usr\n')
    const folder = `/tmp/awaitvm it's "$HOME" ${randomBytes(6).toString('hex')}`
    await outputOf(vm, ['mkdir', folder])
    expect(await outputOf(vm, ['pwd'], { cwd: folder })).toBe(`${folder}\n`)
    await outputOf(vm, ['rmdir', folder])
  })

  promisesInGuest(
    'a large output is complete, or is marked as truncated',
    ['guest.exec'],
    async (vm) => {
      const size = 5_000_000
      const script = `head -c ${size} /dev/zero | tr '\\0' x; printf end`
      const { exitCode, stdout, isTruncated } = await vm.guest.exec(['sh', '-c', script]).unwrap()
      expect(exitCode).toBe(0)
      expect(stdout.slice(0, 1000)).toBe('x'.repeat(1000))
      if (isTruncated) expect(stdout.length).toBeLessThan(size)
      else expect(stdout.length).toBe(size + 3)
    },
    // QEMU's agent reads 4 KiB at a time, and sleeps for 0.1 s if no client is connected.
    { timeoutMs: 240_000 },
  )

  promisesInGuest('programs that run at once have their own output each', ['guest.exec'], async (vm) => {
    const numbers = Array.from({ length: 6 }, (_, index) => String(index))
    const outputs = await Promise.all(numbers.map((number) => outputOf(vm, ['cat'], { input: number })))
    expect(outputs).toEqual(numbers)
  })

  if (host.sharesRunningVms) {
    promises('programs of several connections run at once', ['guest.exec', 'agent'], async (trial) => {
      const vm = await trial.vmWithAgent()
      const others = [vm]
      for (const server of [await trial.connectAgain(), await trial.connectAgain()]) {
        others.push(await server.getVm(vm.id).unwrap())
      }
      const inputs = Array.from({ length: 9 }, (_, index) => String(index))
      const outputs = inputs.map((input, index) => outputOf(others[index % others.length]!, ['cat'], { input }))
      expect(await Promise.all(outputs)).toEqual(inputs)
    })
  }

  promises(
    'a pause of its VM does not change how a program ends',
    ['guest.exec', 'agent', 'vm.pause', 'vm.resume'],
    async (trial) => {
      const vm = await trial.vmWithAgent()
      const { job, pid } = await endlessProgram(vm)
      await vm.pause().unwrap()
      expect((await failureOf(vm.guest.exec(['true']), 'INVALID_STATE')).state).toBe('paused')
      await vm.resume().unwrap()
      expect(job.status).toBe('running')
      await outputOf(vm, ['kill', '-9', pid])
      const { exitCode, signal } = await job.unwrap()
      expect(['SIGKILL', 128 + 9]).toContain(exitCode ?? signal)
    },
  )

  promisesInGuest('a cancelled program is stopped or goes on, as its result says', ['guest.exec'], async (vm) => {
    const { job, pid } = await endlessProgram(vm)
    const verdict = await job.cancel()
    // A process that has ended may stay as a zombie.
    const script = 'kill -0 "$1" && ! grep -q "^State:.*zombie" "/proc/$1/status" 2>/dev/null'
    const isAlive = async (): Promise<boolean> =>
      (await vm.guest.exec(['sh', '-c', script, 'sh', pid]).unwrap()).exitCode === 0
    if (verdict.isOk()) {
      await failureOf(job, 'JOB_CANCELLED')
      expect(await isAlive()).toBe(false)
    } else {
      expect(verdict.error.code).toBe('JOB_NOT_CANCELABLE')
      expect(job.status).toBe('running')
      expect(await isAlive()).toBe(true)
      await outputOf(vm, ['kill', pid])
      await job
    }
  })

  promisesInGuest(
    'a program that takes too long ends with TIMEOUT or OUTCOME_UNKNOWN',
    ['guest.exec'],
    async (vm, trial) => {
      const error = await failureOf(vm.guest.exec(['sleep', '600'], { timeoutMs: 300 }), 'TIMEOUT', 'OUTCOME_UNKNOWN')
      expect(error.hint).toBeTruthy()
      await trial.expectState(vm, 'running')
    },
  )

  for (const [happens, needs, change, state] of endsOfPrograms) {
    promises(
      `a program that runs when its VM is ${happens} has an unknown outcome`,
      ['guest.exec', 'agent', ...needs],
      async (trial) => {
        const vm = await trial.vmWithAgent()
        const { job } = await endlessProgram(vm)
        await change(vm)
        await expectUnknownEnd(job)
        await trial.expectState(vm, state)
      },
    )
  }

  promises(
    'a program from before a switch of snapshots is not confused with one from after it',
    ['guest.exec', 'agent', 'vm.createSnapshot', 'vm.switchToSnapshot'],
    async (trial) => {
      const vm = await trial.vmWithAgent()
      const snapshot = await vm.createSnapshot({ name: 'before' }).unwrap()
      const { job } = await endlessProgram(vm)
      await vm.switchToSnapshot(snapshot.id).unwrap()
      if (vm.state !== 'running') await vm.start().unwrap()
      const run = async (): Promise<string> => {
        for (;;) {
          const result = await vm.guest.exec(['sh', '-c', 'sleep 2; echo after'])
          if (result.isOk()) return Buffer.from(result.value.stdout).toString()
          expect(result.error.code).toBe('GUEST_UNAVAILABLE')
        }
      }
      const [output] = await Promise.all([run(), expectUnknownEnd(job)])
      expect(output).toBe('after\n')
    },
  )

  promisesInGuest(
    'the addresses of a guest are those that others may reach, IPv4 first',
    ['guest.getNetworkAddresses'],
    async (vm) => {
      const addresses = await vm.guest.getNetworkAddresses().unwrap()
      for (const { address, family, interfaceName, macAddress } of addresses) {
        expect(isIP(address), address).toBe(family === 'ipv4' ? 4 : 6)
        expect(address).not.toMatch(/^(127\.|169\.254\.|::1$|fe80:)/)
        expect(interfaceName).toMatch(/\S/)
        if (macAddress !== undefined) expect(macAddress).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/)
      }
      const families = addresses.map(({ family }) => family)
      expect(families).toEqual(families.toSorted())
    },
  )
}
