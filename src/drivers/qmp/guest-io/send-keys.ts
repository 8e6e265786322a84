import { keyChords } from '../../../keyboard/key-chords.js'
import type { Keys } from '../../../model/keys.js'
import { qcodeOf } from './key-qcodes.js'
import type { RunningVm } from '../running-vm.js'

/** How long each key is held down: a guest has time enough to see it. */
const holdMs = 20

export async function sendKeys({ monitor }: RunningVm, keys: Keys): Promise<void> {
  const chords = keyChords(keys)
  await monitor(async (client) => {
    for (const chord of chords) {
      const pressed = chord.map((key) => ({ type: 'qcode', data: qcodeOf(key) }))
      await client.execute('send-key', { keys: pressed, 'hold-time': holdMs })
    }
  })
}
