import { randomUUID } from 'node:crypto'
import { GuestUnavailableError, InvalidArgumentError } from '../errors.js'
import { removeDraftScript } from './file-scripts.js'
import { guestPath } from './guest-path.js'
import { lost, requireSuccess, runScript, tryScript, type InGuest, type Script } from './run-script.js'
import { SentInput } from './sent-input.js'

/** How long the guest has to remove what is unfinished. */
const removalMs = 10_000

/**
 * Runs a script that makes something of its input under the name of a draft, and gives it its final name in the end. The first two
 * parameters of the script are the path and the number of the draft. The script removes the draft itself if the input is cut short.
 *
 * @param input ends with a mark by which the script knows that it is complete
 */
export async function sendToDraft(
  guest: InGuest,
  path: string,
  { args, ...script }: Script,
  input: AsyncIterable<Uint8Array>,
): Promise<void> {
  const draft = [guestPath(path), randomUUID()]
  // If the source fails, the script notices that its input is cut short.
  const sent = new SentInput(input)
  const end = await tryScript(guest, { ...script, args: [...draft, ...args], input: sent.bytes() }).catch(
    async (error: unknown) => {
      // The script has not run in a guest that can't be reached.
      if (!(error instanceof GuestUnavailableError)) await removeDraft(guest, path, draft, sent.isAskedFor)
      throw error
    },
  )
  if (sent.failure !== undefined) throw sent.failure.error
  if (end.exitCode === 3) {
    // The input of a copy that is cancelled ends before the script is stopped.
    guest.signal.throwIfAborted()
    throw lost(guest.way)
  }
  if (end.exitCode === 4) {
    throw new InvalidArgumentError({
      path: 'options.owner',
      reason: `the guest does not give it that owner: ${end.stderr.trim()}`,
      native: { driver: guest.way.driver, code: end.exitCode, message: end.stderr.trim() },
    })
  }
  requireSuccess(guest, path, end)
}

/** Removes what a script that did not come to its end may have left. */
async function removeDraft(
  { way, operation }: InGuest,
  path: string,
  draft: readonly string[],
  mayBeThere: boolean,
): Promise<void> {
  const guest = { way, operation, signal: AbortSignal.timeout(removalMs) }
  try {
    await runScript(guest, path, { text: removeDraftScript, args: draft, isHarmless: true })
  } catch (failure) {
    if (!mayBeThere) return
    const what = `VM ${way.vm}: an unfinished copy of ${path} may be left beside it in the guest, as .awaitvm-${draft[1] ?? ''}`
    process.emitWarning(`${what}: ${String(failure)}`, 'AwaitvmWarning')
  }
}
