import { existsSync, readFileSync, statSync } from 'node:fs'
import { type Command, pause, print } from './command.js'
import { localTime } from './json.js'

interface EventLine {
  readonly name: string
  readonly id: string
  readonly state: string
  readonly at: number
}

const desktopLine = ({ name, id, state, at }: EventLine): string =>
  `${JSON.stringify({
    Timestamp: localTime(new Date(at)),
    'VM ID': id,
    'Event name': name,
    'Additional info': name === 'vm_state_changed' ? { 'Vm state name': state } : {},
  })}\n`

const virtuozzoNames: Record<string, string> = { vm_snapshots_tree_changed: '100019' }

const virtuozzoLines = ({ name, id, state }: EventLine): string =>
  `${JSON.stringify(
    { event_type: virtuozzoNames[name] ?? name.toUpperCase(), vm_info: { ID: `{${id}}`, State: state } },
    undefined,
    '\t',
  )}\n`

/** Prints what happens from now on, until it is killed or, on Virtuozzo, its standard input ends. */
export const monitorEvents: Command = {
  takesId: 'maybe',
  options: { '--json': false },
  async run({ dispatcher }) {
    const { knobs, eventsFile } = dispatcher
    const isDesktop = knobs.flavour === 'desktop'
    let isOver = false
    if (!isDesktop) process.stdin.resume().once('end', () => (isOver = true))
    let seen = existsSync(eventsFile) ? statSync(eventsFile).size : 0
    let told = 0
    let held = knobs.monitor.noise
    while (!isOver) {
      // Looking brings about what is due.
      dispatcher.transact(() => undefined)
      const size = existsSync(eventsFile) ? statSync(eventsFile).size : 0
      if (size > seen) {
        const lines = readFileSync(eventsFile).subarray(seen, size).toString().trimEnd().split('\n')
        seen = size
        for (const line of lines) {
          const event = JSON.parse(line) as EventLine
          held += isDesktop ? desktopLine(event) : virtuozzoLines(event)
          told += 1
        }
      }
      if (held !== '' && held.length >= knobs.monitor.blockBytes) {
        print(held)
        held = ''
      }
      if (knobs.monitor.diesAfter > 0 && told >= knobs.monitor.diesAfter) return
      await pause(10)
    }
  },
}
