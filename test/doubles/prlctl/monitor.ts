import { existsSync, readFileSync, statSync } from 'node:fs'
import { type Command, pause } from './command.js'
import { localTime } from './json.js'
import { print, terminal } from './terminal.js'

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

/** Prints events until it is killed or, on Virtuozzo, until its standard input ends. */
export const monitorEvents: Command = {
  takesId: 'maybe',
  options: { '--json': false },
  async run({ dispatcher }) {
    const { knobs, eventsFile } = dispatcher
    const isDesktop = knobs.flavour === 'desktop'
    const over = new AbortController()
    const end = (): void => {
      over.abort()
    }
    const { stdin, onSignal, isGone } = terminal()
    if (!isDesktop) stdin.resume().once('end', end)
    onSignal(end)
    let seen = existsSync(eventsFile) ? statSync(eventsFile).size : 0
    let told = 0
    let held = knobs.monitor.noise
    while (!over.signal.aborted && !isGone()) {
      // A look completes operations whose time has come.
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
