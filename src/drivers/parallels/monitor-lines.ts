import { bareId } from './vm-id.js'

/** An event of a VM from `monitor-events`. It may come late, so it is only a hint to ask for the VM. */
export interface MonitorEvent {
  readonly vmId: string
  readonly kind: 'state' | 'config' | 'list' | 'snapshots' | 'other'
  /** The state in prlctl's words, if the event has one. */
  readonly state: string | undefined
}

const kinds: Readonly<Record<string, MonitorEvent['kind']>> = {
  vm_state_changed: 'state',
  vm_config_changed: 'config',
  vm_added: 'list',
  vm_created: 'list',
  vm_deleted: 'list',
  vm_unregistered: 'list',
  vm_snapshots_tree_changed: 'snapshots',
}

/** Longer than any event. */
const maxEventLength = 64 * 1024

/** Parses the output of `monitor-events` of both flavours: an object is in one line, or in several. */
export class MonitorLines {
  #pending = ''

  /** The events that this piece of output completes. */
  push(text: string): MonitorEvent[] {
    const lines = `${this.#pending}${text}`.split('\n')
    const events: MonitorEvent[] = []
    let open = ''
    // The last line is incomplete.
    for (const line of lines.slice(0, -1)) {
      // An object begins and ends without indentation. Lines between two objects are noise.
      if (line.startsWith('{')) open = ''
      else if (open === '') continue
      open += `${line}\n`
      if (!line.trimEnd().endsWith('}') || (line.startsWith('\t') && !line.startsWith('}'))) continue
      const event = parseEvent(open)
      if (event === undefined) continue
      events.push(event)
      open = ''
    }
    const rest = `${open}${lines.at(-1) ?? ''}`
    this.#pending = rest.length > maxEventLength ? '' : rest
    return events
  }
}

function parseEvent(text: string): MonitorEvent | undefined {
  const event = parseObject(text)
  if (event === undefined) return undefined
  const name = textIn(event['Event name']) ?? textIn(event['event_type'])
  const info = objectIn(event['vm_info'])
  const vmId = textIn(event['VM ID']) ?? textIn(info?.['ID'])
  if (name === undefined || vmId === undefined) return undefined
  const state = textIn(objectIn(event['Additional info'])?.['Vm state name']) ?? textIn(info?.['State'])
  const kind = Object.hasOwn(kinds, name.toLowerCase()) ? kinds[name.toLowerCase()] : undefined
  return { vmId: bareId(vmId), kind: kind ?? 'other', state }
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return objectIn(JSON.parse(text))
  } catch {
    // Noise between two events.
    return undefined
  }
}

const textIn = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const objectIn = (value: unknown): Readonly<Record<string, unknown>> | undefined =>
  isObject(value) ? value : undefined
