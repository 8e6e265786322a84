/** Boots VMs in a new process, by `boot.ts`. */
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'
import { ask } from './child.js'

const takenSchema = v.array(v.number())

/** Milliseconds until the last of `count` VMs has printed its first line, for each of `times` runs. */
export async function boots(side: 'embedded' | 'v86' | 'workers', count: number, times: number): Promise<number[]> {
  const script = fileURLToPath(new URL('boot.js', import.meta.url))
  return v.parse(takenSchema, await ask(script, side, String(count), String(times)))
}
