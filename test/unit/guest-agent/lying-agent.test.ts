import { expect, test, vi } from 'vitest'
import { ProtocolError } from 'awaitvm'
import type { ProgramControl } from '../../../src/driver/program-io.js'
import type { Agent } from '../../../src/guest-agent/agent.js'
import { catchUp } from '../../../src/guest-agent/guest-clock.js'
import { guestAddresses } from '../../../src/guest-agent/guest-addresses.js'
import { soon } from '../../../src/testing/conformance/deadline.js'
import { LocalGuest } from '../../support/local-agent-guest.js'

const base64 = (text: string): string => Buffer.from(text).toString('base64')

/** Lies only once the shell in the guest has been started. */
const readsOf = (lie: (text: string) => unknown) => (command: string, answer: unknown) =>
  command === 'guest-file-read'
    ? lie(Buffer.from((answer as { 'buf-b64': string })['buf-b64'], 'base64').toString())
    : answer

const said = (text: string) => ({ count: Buffer.byteLength(text), 'buf-b64': base64(text), eof: false })

test.each([
  ['no process', 'guest-exec', {}],
  ['a process without a number', 'guest-exec', { pid: 'init' }],
  ['half a process', 'guest-exec', { pid: 0.5 }],
  ['a state that is none', 'guest-exec-status', { exited: 'soon' }],
  ['an output that is no text', 'guest-exec-status', { exited: true, exitcode: 0, 'out-data': 7 }],
  ['a file without a number', 'guest-file-open', '/etc/passwd'],
  ['a file with too large a number', 'guest-file-open', 2 ** 60],
])('%s for an answer is refused by name before anything has run', async (_what, lie, answer) => {
  await using guest = new LocalGuest('sh')
  guest.agent.lies = (command, right) => (command === lie ? answer : right)
  await expect(guest.run(['true'])).rejects.toMatchObject({
    code: 'PROTOCOL_ERROR',
    reason: expect.stringContaining(`an answer to ${lie} that means nothing`),
  })
  guest.agent.lies = (_command, right) => right
  await guest.run(['true'])
})

test.each(['/etc', '/run/../etc', '/run/awaitvm-000000000000', '', 'x'.repeat(2 ** 20)])(
  'the folder %.30s is not taken for that of the shell that was started',
  async (folder) => {
    await using guest = new LocalGuest('sh')
    guest.agent.lies = (command, right) =>
      command === 'guest-exec-status' ? { ...(right as object), 'out-data': base64(`${folder}\n/dev/mem\n`) } : right
    await expect(guest.run(['true'])).rejects.toMatchObject({ code: 'HOST_ERROR' })
    guest.agent.lies = (_command, right) => right
    await guest.run(['true'])
  },
)

test.each([
  ['more bytes than were asked for', () => said('x'.repeat(300_000)), 'at most 262144 wanted'],
  ['other bytes than it tells of', () => ({ count: 4, 'buf-b64': '!!!!' }), 'bytes'],
  ['a negative number of bytes', () => ({ count: -1, 'buf-b64': '' }), 'guest-file-read'],
  ['no bytes', () => ({ count: 0 }), 'guest-file-read'],
  ['a line that means nothing', () => said('1 is happy\n'), '1 is happy'],
  ['a line without a program', () => said('ended 0 0 o\n'), 'ended 0 0 o'],
  ['a program with a huge number', () => said(`${'9'.repeat(30)} ended 0 0 -\n`), '999'],
  ['a line without an end', () => said('1'.repeat(200_000)), '111'],
  ['a line that is too long', () => said(`1 missing ${'x'.repeat(10_000)}\n`), '1 missing xxx'],
  ['another folder than that of a shell', () => said('0 other /etc client-1 x\n'), '/etc'],
])(
  '%s in the log of the shell end programs, of which it is unknown whether they have run',
  async (_what, lie, reason) => {
    await using guest = new LocalGuest('sh')
    await guest.run(['true'])
    guest.agent.lies = readsOf(lie)
    const error: unknown = await guest.run(['true']).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', reason: expect.stringContaining(reason) })
    expect((error as ProtocolError).reason.length).toBeLessThan(1000)
    guest.agent.lies = (_command, right) => right
    await guest.run(['true'])
  },
)

test('a log without end keeps no program from its end, and fills no memory', async () => {
  await using guest = new LocalGuest('sh')
  await guest.run(['true'])
  const noise = '0 ready 1\n0 other /run/awaitvm-0123456789ab x y\n9 full\n9 e 1 5\n9 i closed\n9 sent 9 1\n'.repeat(
    2500,
  )
  let [lies, isLying] = [0, true]
  guest.agent.lies = readsOf((text) => {
    if (!isLying || text !== '') return said(text)
    lies += 1
    return said(noise)
  })
  expect((await guest.run(['sh', '-c', 'sleep 0.5; exit 4'])).exitCode).toBe(4)
  expect(lies).toBeGreaterThan(1)
  isLying = false
})

test('a guest that never tells what became of a program that was to be ended is not waited for without end', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'], shouldAdvanceTime: true })
  try {
    await using guest = new LocalGuest('sh')
    await guest.run(['true'])
    const stop = new AbortController()
    const hidden: string[] = []
    guest.agent.lies = readsOf((text) => {
      const lines = text.split(/(?<=\n)/)
      hidden.push(...lines.filter((line) => / sent | ended /.test(line)))
      return said(lines.filter((line) => !hidden.includes(line)).join(''))
    })
    const program = guest.run(['sleep', '619'], {
      signal: stop.signal,
      begun: () => {
        stop.abort(new Error('asked'))
      },
    })
    const failed = expect(program).rejects.toMatchObject({
      code: 'OUTCOME_UNKNOWN',
      reason: expect.stringContaining('does not tell whether it was ended'),
    })
    await vi.waitFor(() => expect(hidden.join('')).toMatch(/ sent \d+ 1\n/), soon)
    await vi.advanceTimersByTimeAsync(120_000)
    await failed
    guest.agent.lies = (_command, right) => right
  } finally {
    vi.useRealTimers()
  }
})

test('a signal was sent, though that is told after the end that it has caused', { timeout: 30_000 }, async () => {
  await using guest = new LocalGuest('sh')
  await guest.run(['true'])
  let [held, hasEnded] = ['', false]
  guest.agent.lies = readsOf((text) => {
    // Outputs are read, too: this shell ends them with a mark.
    if (!/^(?:\d+ |$)/.test(text)) return said(text)
    const told = hasEnded ? held : ''
    const lines = text.split(/(?<=\n)/)
    held = [hasEnded ? '' : held, ...lines.filter((line) => line.includes(' sent '))].join('')
    hasEnded ||= text.includes(' ended ')
    return said(told + lines.filter((line) => !line.includes(' sent ')).join(''))
  })
  let isSent: Promise<boolean> | undefined
  const begun = (control: ProgramControl): void => {
    isSent = control.kill('SIGKILL')
  }
  const { signal } = await guest.run(['sleep', '620'], { begun })
  expect([signal, await isSent]).toEqual(['SIGKILL', true])
})

test('a script of the SDK that never ends is given up', async () => {
  await using guest = new LocalGuest('sh')
  guest.agent.lies = (command, right) => (command === 'guest-exec-status' ? { exited: false } : right)
  await expect(guest.run(['true'])).rejects.toMatchObject({ code: 'GUEST_UNAVAILABLE' })
  guest.agent.lies = (_command, right) => right
  await guest.run(['true'])
}, 60_000)

const agentThatSays = (answer: unknown): Agent => ({
  execute: () => Promise.resolve(answer),
  requireAnswer: () => Promise.resolve(),
})

test.each([undefined, null, 'now', { time: 1 }, Number.NaN])('%o is no time', async (answer) => {
  await expect(catchUp(agentThatSays(answer))).rejects.toThrow(ProtocolError)
})

test.each([{}, [7], [{ name: 7 }], [{ name: 'eth0', 'ip-addresses': 'all' }]])(
  '%o are no addresses',
  async (answer) => {
    await expect(guestAddresses(agentThatSays(answer))).rejects.toThrow(ProtocolError)
  },
)
