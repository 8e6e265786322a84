import { constants } from 'node:os'

/**
 * Aborts on SIGINT, SIGTERM, SIGHUP or a closed output; the reason is the signal's name. A second signal ends the process
 * at once.
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

/** The exit code that a shell reports for a process that this signal ended: 130 for Ctrl-C. */
export const exitCodeOf = ({ reason }: AbortSignal): number =>
  128 + (Object.entries(constants.signals).find(([name]) => name === reason)?.[1] ?? 0)
