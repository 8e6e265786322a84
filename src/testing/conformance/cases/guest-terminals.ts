import { expect } from 'vitest'
import { failureOf } from '../expect-failure.js'
import { OutputReader } from '../output-reader.js'
import type { Cases } from '../case.js'

export const guestTerminals: Cases = ({ host, promisesInGuest }) => {
  const pty = { columns: 93, rows: 27 }

  if (host.refusedExecOptions.includes('pty')) {
    promisesInGuest('a terminal is refused by name', ['guest.exec'], async (vm) => {
      const error = await failureOf(vm.guest.exec(['true'], { pty }), 'NOT_SUPPORTED')
      expect(error.capability).toBe('options.pty')
    })
    return
  }

  promisesInGuest('a program has a terminal of the given size, which can be changed', ['guest.exec'], async (vm) => {
    const script =
      'test -t 0 && test -t 1 && test -t 2 && stty size; read line; stty size; echo "said $line" >&2; exit 3'
    const job = vm.guest.exec(['sh', '-c', script], { pty, stdin: 'pipe' })
    const output = new OutputReader(job.stdout)
    await output.until('27 93\r\n')
    await job.resize({ columns: 120, rows: 40 }).unwrap()
    job.stdin.write('word\r')
    await output.until('40 120\r\n')
    await output.until('said word\r\n')
    const { exitCode, stderr } = await job.unwrap()
    expect([exitCode, stderr]).toEqual([3, ''])
  })

  promisesInGuest('keys of a terminal reach the program as signals', ['guest.exec'], async (vm) => {
    const script = 'trap "echo interrupted; exit 9" INT; echo ready; while :; do sleep 0.1; done'
    const job = vm.guest.exec(['sh', '-c', script], { pty, stdin: 'pipe' })
    const output = new OutputReader(job.stdout)
    await output.until('ready')
    job.stdin.write('\u0003')
    await output.until('interrupted')
    expect((await job.unwrap()).exitCode).toBe(9)
  })

  promisesInGuest('a program without a terminal has no size to change', ['guest.exec'], async (vm) => {
    const job = vm.guest.exec(['cat'], { stdin: 'pipe' })
    await failureOf(job.resize(pty), 'INVALID_ARGUMENT', 'NOT_SUPPORTED')
    job.stdin.end()
    expect((await job.unwrap()).exitCode).toBe(0)
  })
}
