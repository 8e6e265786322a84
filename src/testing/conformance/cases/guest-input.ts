import { Readable } from 'node:stream'
import { expect } from 'vitest'
import { failureOf } from '../expect-failure.js'
import { runningOf } from '../guest-program.js'
import { outputOf } from '../guest-output.js'
import { OutputReader } from '../output-reader.js'
import type { Cases } from '../case.js'

const everyByte = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, index) => (index * 7) % 256))

async function* wordsOf(...words: readonly (string | Uint8Array)[]): AsyncGenerator<string | Uint8Array> {
  for (const word of words) yield await Promise.resolve(word)
}

export const guestInput: Cases = ({ promisesInGuest }) => {
  promisesInGuest('a program gets its standard input byte for byte', ['guest.exec'], async (vm) => {
    const input = everyByte(70_000)
    const { stdout } = await vm.guest.exec(['cat'], { input, encoding: 'buffer' }).unwrap()
    expect(Buffer.compare(stdout, input)).toBe(0)
    const { stderr } = await vm.guest.exec(['sh', '-c', 'cat >&2'], { input, encoding: 'buffer' }).unwrap()
    expect(Buffer.compare(stderr, input)).toBe(0)
    expect(await outputOf(vm, ['cat'], { input: 'Ünïcödé' })).toBe('Ünïcödé')
    // Without input, it is at its end.
    expect(await outputOf(vm, ['cat'])).toBe('')
    // A program need not read its input.
    expect(await outputOf(vm, ['true'], { input })).toBe('')
  })

  promisesInGuest('input comes from a stream or an async iterable, too', ['guest.exec'], async (vm) => {
    const bytes = everyByte(100_000)
    const pieces = Array.from({ length: 10 }, (_, index) => bytes.subarray(index * 10_000, (index + 1) * 10_000))
    for (const input of [Readable.from(pieces), wordsOf(...pieces)]) {
      const { stdout } = await vm.guest.exec(['cat'], { input, encoding: 'buffer' }).unwrap()
      expect(Buffer.compare(stdout, bytes)).toBe(0)
    }
    expect(await outputOf(vm, ['cat'], { input: wordsOf('text, ', Buffer.from('bytes'), '') })).toBe('text, bytes')
  })

  promisesInGuest('an error of the input ends the program and the job', ['guest.exec'], async (vm) => {
    const cause = new Error('no more of it')
    const failing = async function* (): AsyncGenerator<string> {
      yield await Promise.resolve('first\n')
      throw cause
    }
    const job = vm.guest.exec(['sh', '-c', 'echo "$$"; exec cat'], { input: failing() })
    const output = new OutputReader(job.stdout)
    const error = await failureOf(job, 'INVALID_ARGUMENT')
    expect([error.path, error.cause]).toEqual(['options.input', cause])
    await output.untilClosed()
    const pid = /^(\d+)\n/.exec(output.text)?.[1]
    if (pid !== undefined) expect(await runningOf(vm, [Number(pid)])).toEqual([])
  })

  promisesInGuest('one talks with a program by `stdin: "pipe"`', ['guest.exec'], async (vm) => {
    const script = 'while read -r line; do echo "got $line"; done; echo over; exit 5'
    const job = vm.guest.exec(['sh', '-c', script], { stdin: 'pipe' })
    const output = new OutputReader(job.stdout)
    for (const word of ['one', 'two  words', 'three']) {
      job.stdin.write(`${word}\n`)
      await output.until(`got ${word}\n`)
    }
    job.stdin.end()
    await output.until('over\n')
    expect((await job.unwrap()).exitCode).toBe(5)
  })

  promisesInGuest('much input goes through a pipe, and comes back', ['guest.exec'], async (vm) => {
    const bytes = everyByte(300_000)
    const job = vm.guest.exec(['cat'], { stdin: 'pipe', encoding: 'buffer' })
    for (let at = 0; at < bytes.length; at += 30_000) {
      const isWanted = job.stdin.write(bytes.subarray(at, at + 30_000))
      if (!isWanted) await new Promise((resolve) => job.stdin.once('drain', resolve))
    }
    job.stdin.end()
    expect(Buffer.compare((await job.unwrap()).stdout, bytes)).toBe(0)
  })

  promisesInGuest('a program that ends without reading its pipe does not hold the job', ['guest.exec'], async (vm) => {
    const job = vm.guest.exec(['sh', '-c', 'exit 4'], { stdin: 'pipe' })
    expect((await job.unwrap()).exitCode).toBe(4)
    const broken = new Promise<NodeJS.ErrnoException>((resolve) => job.stdin.once('error', resolve))
    job.stdin.write('too late')
    expect((await broken).code).toBe('EPIPE')
  })
}
