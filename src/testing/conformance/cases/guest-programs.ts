import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { signalOf } from '../../../model/signal.js'
import { failureOf } from '../expect-failure.js'
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

export const guestPrograms: Cases = ({ host, promises, promisesInGuest }) => {
  promisesInGuest('a program gets its arguments unchanged', ['guest.exec'], async (vm) => {
    const expected = oddArguments.map((word) => `[${word}]\n`).join('')
    expect(await outputOf(vm, [...printArguments, ...oddArguments])).toBe(expected)
  })

  promisesInGuest("a string is a command line of the guest's shell", ['guest.exec'], async (vm) => {
    const { stdout, exitCode } = await vm.guest.exec('word="a b"; echo "$word" | tr b c; exit $((2 + 3))').unwrap()
    expect({ stdout, exitCode }).toEqual({ stdout: 'a c\n', exitCode: 5 })
    expect(await outputOf(vm, "printf '%s|' \"it's\" '$HOME' é")).toBe("it's|$HOME|é|")
  })

  promisesInGuest('standard output and standard error are separate, as text', ['guest.exec'], async (vm) => {
    const result = await vm.guest.exec(['sh', '-c', 'printf é; printf err >&2; exit 3']).unwrap()
    const { durationMs, ...rest } = result
    expect(rest).toEqual({ exitCode: 3, signal: undefined, stdout: 'é', stderr: 'err', isTruncated: false })
    expect(durationMs).toBeGreaterThanOrEqual(0)
  })

  promisesInGuest('the outputs are bytes on demand', ['guest.exec'], async (vm) => {
    const script = "printf '\\377\\000\\n\\r\\303'; printf '\\376' >&2"
    const { stdout, stderr } = await vm.guest.exec(['sh', '-c', script], { encoding: 'buffer' }).unwrap()
    expect([[...stdout], [...stderr]]).toEqual([[0xff, 0, 0x0a, 0x0d, 0xc3], [0xfe]])
    expect((await vm.guest.exec(['sh', '-c', "printf 'a\\377b'"]).unwrap()).stdout).toBe('a\uFFFDb')
  })

  promisesInGuest('every exit code comes back unchanged', ['guest.exec'], async (vm) => {
    for (const code of [0, 1, 2, 126, 253, 254, 255]) {
      const { exitCode } = await vm.guest.exec(['sh', '-c', 'exit "$1"', 'sh', String(code)]).unwrap()
      expect(exitCode).toBe(code)
    }
  })

  promisesInGuest('the result of a program that a signal ended names the signal', ['guest.exec'], async (vm) => {
    for (const name of ['SIGKILL', 'SIGTERM'] as const) {
      const { exitCode, signal } = await vm.guest.exec(['sh', '-c', `kill -${name.slice(3)} $$`]).unwrap()
      // Reported by the kernel, or by a shell in between.
      expect(exitCode === undefined ? signal : signalOf(exitCode - 128)).toBe(name)
    }
  })

  promisesInGuest(
    'with `check`, an exit code other than 0 is an error that has the end of the output',
    ['guest.exec'],
    async (vm) => {
      const failing = vm.guest.exec(['sh', '-c', 'echo out; echo "no such thing" >&2; exit 3'], { check: true })
      const error = await failureOf(failing, 'PROGRAM_FAILED')
      expect({ exitCode: error.exitCode, signal: error.signal, stderr: error.stderr }).toEqual({
        exitCode: 3,
        signal: undefined,
        stderr: 'no such thing\n',
      })
      expect(error.message).toContain('3')
      await failureOf(vm.guest.exec(['sh', '-c', 'kill -9 $$'], { check: true }), 'PROGRAM_FAILED')
      expect((await vm.guest.exec(['echo', 'fine'], { check: true }).unwrap()).stdout).toBe('fine\n')

      const long = 'i=0; while [ $i -lt 600 ]; do i=$((i + 1)); echo "line $i" >&2; done; exit 1'
      const { stderr } = await failureOf(
        vm.guest.exec(['sh', '-c', long], { check: true, maxOutputBytes: 10 }),
        'PROGRAM_FAILED',
      )
      expect(stderr).toMatch(/line 599\nline 600\n$/)
    },
  )

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
    const env = { AWAITVM_PLAIN: 'plain', AWAITVM_ODD: ` it's "$HOME" \`id\`\n=; `, constructor: 'inherited name' }
    const script = 'printf "%s|%s|%s|%s" "$AWAITVM_PLAIN" "$AWAITVM_ODD" "$constructor" "${AWAITVM_NONE-none}"'
    const expected = `plain|${env.AWAITVM_ODD}|inherited name|none`
    expect(await outputOf(vm, ['sh', '-c', script], { env })).toBe(expected)
    expect(await outputOf(vm, script, { env })).toBe(expected)
  })

  promisesInGuest('a program runs in the folder that it is given', ['guest.exec'], async (vm) => {
    expect(await outputOf(vm, ['pwd'], { cwd: '/usr' })).toBe('/usr\n')
    const folder = `/tmp/awaitvm it's "$HOME" ${randomBytes(6).toString('hex')}`
    await outputOf(vm, ['mkdir', folder])
    expect(await outputOf(vm, ['pwd'], { cwd: folder })).toBe(`${folder}\n`)
    await outputOf(vm, ['rmdir', folder])
    const error = await failureOf(vm.guest.exec(['pwd'], { cwd: folder }), 'INVALID_ARGUMENT')
    expect(error.path).toBe('options.cwd')
  })

  promisesInGuest('a program runs as the user that it is given', ['guest.exec'], async (vm) => {
    if (host.refusedExecOptions.includes('user')) {
      expect((await failureOf(vm.guest.exec(['id'], { user: 'root' }), 'NOT_SUPPORTED')).capability).toBe(
        'options.user',
      )
      return
    }
    const self = (await outputOf(vm, ['id', '-un'])).trim()
    expect((await outputOf(vm, ['id', '-un'], { user: self })).trim()).toBe(self)
    const expected = oddArguments.map((word) => `[${word}]\n`).join('')
    expect(await outputOf(vm, [...printArguments, ...oddArguments], { user: self })).toBe(expected)
    const unknown = vm.guest.exec(['true'], { user: 'awaitvm-no-such-user' })
    expect((await failureOf(unknown, 'INVALID_ARGUMENT')).path).toBe('options.user')
    if (self !== 'root') return
    const { stdout } = await vm.guest.exec("cut -d : -f 1,3 /etc/passwd | grep -v ':0$' | head -n 1").unwrap()
    const [other, id] = stdout.trim().split(':')
    if (other === undefined || id === undefined) return
    const script = 'printf "%s %s|" "$(id -u)" "$USER"; echo "$AWAITVM_GIVEN"; cat; exit 6'
    const options = { user: other, env: { AWAITVM_GIVEN: "it's" }, input: 'read', cwd: '/' }
    const { exitCode, stdout: said } = await vm.guest.exec(['sh', '-c', script], options).unwrap()
    expect({ exitCode, said }).toEqual({ exitCode: 6, said: `${id} ${other}|it's\nread` })
  })

  promisesInGuest(
    'the result keeps the first bytes of each output, up to its limit, and the program ends as it would',
    ['guest.exec'],
    async (vm) => {
      const script = "head -c 300000 /dev/zero | tr '\\0' x; printf end >&2; exit 4"
      const run = { exitCode: 4, stderr: 'end' }
      expect(await vm.guest.exec(['sh', '-c', script], { maxOutputBytes: 1000 }).unwrap()).toMatchObject({
        ...run,
        stdout: 'x'.repeat(1000),
        isTruncated: true,
      })
      expect(await vm.guest.exec(['sh', '-c', script], { maxOutputBytes: 300_000 }).unwrap()).toMatchObject({
        ...run,
        stdout: 'x'.repeat(300_000),
        isTruncated: false,
      })
    },
  )

  promisesInGuest(
    'a large output is complete',
    ['guest.exec'],
    async (vm) => {
      const size = 5_000_000
      const script = `head -c ${String(size)} /dev/zero | tr '\\0' x; printf end`
      const { exitCode, stdout, isTruncated } = await vm.guest.exec(['sh', '-c', script]).unwrap()
      expect([exitCode, isTruncated, stdout.length]).toEqual([0, false, size + 3])
      expect(stdout.slice(-5)).toBe('xxend')
    },
    { timeoutMs: 240_000 },
  )

  promisesInGuest('programs that run at once have their own output each', ['guest.exec'], async (vm) => {
    const numbers = Array.from({ length: 16 }, (_, index) => String(index))
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
}
