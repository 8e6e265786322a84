import type {
  ExecErrors,
  ExecJob,
  ExecOptions,
  GuestEntry,
  Job,
  JobError,
  ReadFileErrors,
  ReaddirErrors,
  UncheckedExecErrors,
  Vm,
} from 'awaitvm'
import { describe, expectTypeOf, test } from 'vitest'

declare const vm: Vm
declare const options: ExecOptions
declare const seen: number[]

describe('exec', () => {
  test('has text by default, and bytes if asked for', () => {
    expectTypeOf(vm.guest.exec('ls')).toEqualTypeOf<ExecJob>()
    expectTypeOf(vm.guest.exec(['ls'], { cwd: '/', timeoutMs: 5 })).toEqualTypeOf<ExecJob>()
    expectTypeOf(vm.guest.exec('ls', { encoding: 'utf8' })).toEqualTypeOf<ExecJob>()
    expectTypeOf(
      vm.guest.exec('ls', {
        encoding: 'buffer',
        onOutput: ({ data }) => {
          seen.push(data.byteLength)
        },
      }),
    ).toEqualTypeOf<ExecJob<Uint8Array>>()
    expectTypeOf(
      vm.guest
        .exec('ls', {
          onOutput: ({ data }) => {
            seen.push(data.length)
          },
        })
        .output(),
    ).toEqualTypeOf<AsyncIterable<{ readonly stream: 'stdout' | 'stderr'; readonly data: string }>>()
  })

  test('ends with PROGRAM_FAILED only if that may be checked', () => {
    expectTypeOf<JobError<ExecJob>>().toEqualTypeOf<UncheckedExecErrors>()
    expectTypeOf(vm.guest.exec('ls', { check: true })).toEqualTypeOf<ExecJob<string, ExecErrors>>()
    expectTypeOf<UncheckedExecErrors['code'] & 'PROGRAM_FAILED'>().toEqualTypeOf<never>()
  })

  test('takes options that are known at run time only', () => {
    expectTypeOf(vm.guest.exec('ls', options)).toEqualTypeOf<ExecJob<string | Uint8Array, ExecErrors>>()
  })
})

test('files are read as text by default, and folders as names', () => {
  expectTypeOf(vm.guest.readFile('/a')).toEqualTypeOf<Job<string, ReadFileErrors>>()
  expectTypeOf(vm.guest.readFile('/a', { encoding: 'buffer' })).toEqualTypeOf<Job<Uint8Array, ReadFileErrors>>()
  expectTypeOf(vm.guest.readdir('/a')).toEqualTypeOf<Job<readonly string[], ReaddirErrors>>()
  expectTypeOf(vm.guest.readdir('/a', { withFileTypes: true })).toEqualTypeOf<
    Job<readonly GuestEntry[], ReaddirErrors>
  >()
})
