import { constants } from 'node:os'

/**
 * Aborted by Ctrl-C, by a request to end, or when nobody reads the output any more; its reason is the signal's name. The
 * second time the process ends at once, as without this.
 */
export function interruption(): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(name, () => {
      controller.abort(name)
    })
  }
  process.stdout.on('error', () => {
    controller.abort('SIGPIPE')
  })
  return controller.signal
}

/** As a shell reports a process that a signal ended: 130 for Ctrl-C. */
export const exitCodeOf = ({ reason }: AbortSignal): number =>
  128 + (Object.entries(constants.signals).find(([name]) => name === reason)?.[1] ?? 0)
