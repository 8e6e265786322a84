import { beforeEach, describe, expect, test, vi } from 'vitest'
import { encodeFrame, type Frame, FrameReader } from '../../../src/drivers/embedded/guest-port/frames.js'
import { GuestPort } from '../../../src/drivers/embedded/guest-port/guest-port.js'
import { bytesOf, toGuest } from '../../../src/drivers/embedded/guest-port/messages.js'
import { GuestUnavailableError, OutcomeUnknownError } from '../../../src/errors.js'

/** The numbers of the guest program's messages, by guest-program/guest.h. */
const fromGuest = { hello: 1, line: 2, started: 3, output: 5, credit: 6, signalled: 7, ended: 8, broken: 9 } as const

/** The other end of the port, as a test plays it. */
class FakeGuest {
  readonly port: GuestPort
  readonly messages: Frame[] = []
  isRunning = true
  /** What it answers to each message. */
  answer: (frame: Frame) => void = () => undefined
  readonly #reader = new FrameReader()

  constructor() {
    this.port = new GuestPort({
      send: (bytes) => {
        for (const frame of this.#reader.push(bytes)) {
          if (frame === undefined) continue
          this.messages.push(frame)
          this.answer(frame)
        }
        return Promise.resolve()
      },
      isRunning: () => this.isRunning,
    })
  }

  send(type: number, id: number, data: Uint8Array = new Uint8Array()): void {
    this.port.receive(encodeFrame({ type, id, data }))
  }

  greet({ id }: Frame, version = 1): void {
    this.send(fromGuest.hello, id, bytesOf([version, 4]))
  }
}

let guest: FakeGuest
let output: string
beforeEach(() => {
  guest = new FakeGuest()
  output = ''
})

const run = (signal = new AbortController().signal) =>
  guest.port.run(
    { argv: ['x'] },
    {
      input: undefined,
      output: (_stream, bytes) => void (output += Buffer.from(bytes).toString()),
      begun: () => undefined,
    },
    signal,
  )

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no failure',
    (error: unknown) => error,
  )

/** Greets, and starts each program; then does what the test says. */
const afterStart = (act: (id: number) => void): void => {
  guest.answer = (frame) => {
    if (frame.type === toGuest.hello) guest.greet(frame)
    else if (frame.type === toGuest.spec) {
      guest.send(fromGuest.started, frame.id)
      act(frame.id)
    }
  }
}

test('a program runs, and its end comes after its output', async () => {
  afterStart((id) => {
    guest.send(fromGuest.output, id, Buffer.from('\0hello'))
    guest.send(fromGuest.ended, id, Uint8Array.of(3, 0))
  })
  expect(await run()).toEqual({ exitCode: 3 })
  expect(output).toBe('hello')
})

test('what was on the line before is skipped', async () => {
  guest.answer = (frame) => {
    if (frame.type === toGuest.hello) {
      guest.port.receive(Buffer.from('login: \0\xff\0\0'))
      guest.send(fromGuest.output, 1, Buffer.from('\0of another life'))
      guest.greet(frame)
    } else if (frame.type === toGuest.spec) guest.send(fromGuest.ended, frame.id, Uint8Array.of(0, 0))
  }
  expect(await run()).toEqual({ exitCode: 0 })
  expect(output).toBe('')
})

describe('a guest that breaks the protocol loses the session, and what ran in it is unknown', () => {
  test.each<[string, (id: number) => void]>([
    ['bytes that are no message', () => guest.port.receive(Uint8Array.of(9, 9, 9, 0))],
    ['a message without an end', () => guest.port.receive(Buffer.concat([Buffer.alloc(100_000, 1), Buffer.alloc(1)]))],
    ['a message of an unknown type', (id) => guest.send(200, id)],
    ['a message that is too short', (id) => guest.send(fromGuest.credit, id)],
    ['a second greeting as after a start', () => guest.send(fromGuest.hello, 0, bytesOf([1, 4]))],
    ['more bytes read than were sent', () => guest.send(fromGuest.line, 1_000_000)],
    ['lost bytes', () => guest.send(fromGuest.broken, 0)],
    [
      'more output than was asked for',
      (id) => {
        for (let count = 0; count < 20; count++) guest.send(fromGuest.output, id, new Uint8Array(4096))
      },
    ],
  ])('%s', async (_what, act) => {
    guest.answer = (frame) => {
      if (frame.type === toGuest.hello) guest.greet(frame)
    }
    const slow = guest.port.run(
      { argv: ['x'] },
      { input: undefined, output: () => new Promise(() => undefined), begun: () => undefined },
      new AbortController().signal,
    )
    const failed = failure(slow)
    await vi.waitFor(() => expect(guest.messages.some(({ type }) => type === toGuest.spec)).toBe(true))
    const id = guest.messages.find(({ type }) => type === toGuest.spec)?.id ?? 0
    guest.send(fromGuest.started, id)
    act(id)
    expect(await failed).toBeInstanceOf(OutcomeUnknownError)

    afterStart((next) => guest.send(fromGuest.ended, next, Uint8Array.of(0, 0)))
    expect(await run()).toEqual({ exitCode: 0 })
    const sessions = guest.messages.filter(({ type }) => type === toGuest.hello).map((hello) => hello.id)
    expect(new Set(sessions).size).toBe(2)
  })
})

test('messages for programs that are gone change nothing', async () => {
  afterStart((id) => {
    guest.send(fromGuest.output, id + 1, Buffer.from('\0of nobody'))
    guest.send(fromGuest.signalled, id, Uint8Array.of(1))
    guest.send(fromGuest.ended, id, Uint8Array.of(0, 15))
    guest.send(fromGuest.ended, id, Uint8Array.of(1, 0))
  })
  expect(await run()).toEqual({ signal: 'SIGTERM' })
  expect(output).toBe('')
})

test('a guest that takes nothing more gets no more than its window', async () => {
  guest.answer = (frame) => {
    if (frame.type === toGuest.hello) guest.greet(frame)
    else if (frame.type === toGuest.spec) guest.send(fromGuest.started, frame.id)
  }
  const stop = new AbortController()
  const long = guest.port.run(
    { argv: ['x', 'a'.repeat(100_000)] },
    { input: undefined, output: () => undefined, begun: () => undefined },
    stop.signal,
  )
  const failed = failure(long)
  await vi.waitFor(() => expect(guest.messages.length).toBeGreaterThan(5))
  const sent = guest.messages.reduce((sum, { data }) => sum + data.length, 0)
  expect(sent).toBeLessThan(32 * 1024)
  guest.port.close(new Error('gone'))
  expect(await failed).toBeInstanceOf(OutcomeUnknownError)
})

describe('without an answer', () => {
  beforeEach(() => {
    vi.useFakeTimers()
    return () => vi.useRealTimers()
  })

  test('the guest is unavailable, and one greeting is on its way', async () => {
    const failed = failure(run())
    await vi.advanceTimersByTimeAsync(6000)
    const error = await failed
    expect(error).toBeInstanceOf(GuestUnavailableError)
    expect(error).toMatchObject({ retryable: true })
  })

  test('a guest that is paused is waited for', async () => {
    guest.isRunning = false
    const ended = run()
    await vi.advanceTimersByTimeAsync(60_000)
    guest.isRunning = true
    afterStart((id) => guest.send(fromGuest.ended, id, Uint8Array.of(0, 0)))
    await vi.advanceTimersByTimeAsync(1000)
    expect(await ended).toEqual({ exitCode: 0 })
  })

  test('the wait ends with the signal, or with the machine', async () => {
    const stop = new AbortController()
    const stopped = failure(run(stop.signal))
    stop.abort(new RangeError('enough'))
    expect(await stopped).toEqual(new RangeError('enough'))
    const closed = failure(run())
    guest.port.close(new RangeError('gone'))
    await vi.advanceTimersByTimeAsync(1000)
    expect(await closed).toEqual(new RangeError('gone'))
  })

  test('a program of another version is told, and not asked again', async () => {
    guest.answer = (frame) => guest.greet(frame, 7)
    const failed = failure(run())
    await vi.advanceTimersByTimeAsync(10)
    expect(await failed).toMatchObject({ code: 'GUEST_UNAVAILABLE', retryable: false })
  })

  test('a guest program that falls silent while a program runs is noticed', async () => {
    afterStart(() => undefined)
    const failed = failure(run())
    await vi.advanceTimersByTimeAsync(1000)
    guest.answer = () => undefined
    await vi.advanceTimersByTimeAsync(40_000)
    expect(await failed).toBeInstanceOf(OutcomeUnknownError)
  })
})
