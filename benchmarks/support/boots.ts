/** Boots VMs in a new process, by `boot.ts`. */
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'
import { ask } from './child.js'

const takenSchema = v.array(v.number())

/** The milliseconds that so many at once take to the last one's first line, each of so many times. */
export async function boots(side: 'embedded' | 'v86' | 'workers', count: number, times: number): Promise<number[]> {
  const script = fileURLToPath(new URL('boot.js', import.meta.url))
  return v.parse(takenSchema, await ask(script, side, String(count), String(times)))
}
