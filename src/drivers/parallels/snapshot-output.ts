import * as v from 'valibot'
import { ProtocolError } from '../../errors.js'
import type { Snapshot } from '../../model/snapshot.js'
import type { VmState } from '../../model/vm-state.js'
import { bareId } from './vm-id.js'

const states: Readonly<Record<string, VmState>> = {
  poweroff: 'stopped',
  poweron: 'running',
  pause: 'paused',
  suspend: 'suspended',
}

/** A snapshot in a list, which has no descriptions. */
export type ListedSnapshot = Omit<Snapshot, 'description'>

const stateOf = (word: string): VmState => (Object.hasOwn(states, word) ? (states[word] ?? 'unknown') : 'unknown')

/** Parses a local time of the host, which has no zone: `2021-07-15 12:15:03`. */
export function hostTime(text: string, minutesEastOfUtc: number | undefined): Date {
  const match = /^(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)$/.exec(text.trim())
  const [year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0] = match?.slice(1).map(Number) ?? []
  return minutesEastOfUtc === undefined
    ? new Date(year, month - 1, day, hour, minute, second)
    : new Date(Date.UTC(year, month - 1, day, hour, minute - minutesEastOfUtc, second))
}

const rowSchema = v.object({
  name: v.optional(v.string(), ''),
  date: v.optional(v.string(), ''),
  state: v.optional(v.string(), ''),
  current: v.optional(v.boolean(), false),
  parent: v.optional(v.string(), ''),
})

/** Parses `snapshot-list -j` of Parallels Desktop: an object by id. */
export function snapshotsOfJson(output: unknown, zone: number | undefined): ListedSnapshot[] {
  if (output === undefined) return []
  const parsed = v.safeParse(v.record(v.string(), rowSchema), output)
  if (!parsed.success)
    throw new ProtocolError({ reason: 'the list of snapshots does not have the format of Parallels Desktop' })
  return Object.entries(parsed.output).map(([id, { name, date, state, current, parent }]) => ({
    id: bareId(id),
    name,
    createdAt: hostTime(date, zone),
    parentId: parent === '' ? undefined : bareId(parent),
    state: stateOf(state),
    isCurrent: current,
  }))
}

/** Parses the table of `snapshot-list` of Virtuozzo: parent and id, the current one with a star. */
export function snapshotIdsOfTable(output: string): { id: string; parentId: string | undefined; isCurrent: boolean }[] {
  return [...output.matchAll(/^(\{[0-9a-f-]+\})?[ \t]*(\*?)(\{[0-9a-f-]+\})[ \t]*$/gim)].map(
    ([, parent, star, id = '']) => ({
      id: bareId(id),
      parentId: parent === undefined ? undefined : bareId(parent),
      isCurrent: star === '*',
    }),
  )
}

/** Parses `snapshot-list -i`: lines `Name: ...`, and the description last, which may have several lines. */
export function snapshotDetails(
  output: string,
  zone: number | undefined,
): Pick<Snapshot, 'name' | 'createdAt' | 'state' | 'description'> {
  const field = (name: string): string => new RegExp(`^${name}: ?(.*)$`, 'm').exec(output)?.[1] ?? ''
  const description = /^Description: ?([\s\S]*)$/m.exec(output)?.[1]?.trimEnd() ?? ''
  return {
    name: field('Name'),
    createdAt: hostTime(field('Date'), zone),
    state: stateOf(field('State').trim()),
    description: /^<!\[CDATA\[([\s\S]*)\]\]>$/.exec(description)?.[1] ?? description,
  }
}
