import type { SetCommand } from './configuration.js'
import { ParallelsFailure } from './parallels-failure.js'
import type { Prlctl } from './prlctl.js'
import { argumentOf } from './vm-id.js'

interface ApplyOptions {
  readonly signal?: AbortSignal | undefined
  /** Called after each command that succeeded. */
  readonly onApplied?: ((command: SetCommand) => void) | undefined
}

/** Runs the commands in turn, and stops at the first that fails. */
export async function applyCommands(
  prlctl: Prlctl,
  vm: string,
  commands: readonly SetCommand[],
  { signal, onApplied }: ApplyOptions = {},
): Promise<void> {
  for (const words of commands) {
    signal?.throwIfAborted()
    try {
      await prlctl.change(['set', argumentOf(vm), ...words])
      onApplied?.(words)
    } catch (error) {
      // prlctl has no error code for a wrong setting.
      const isWrongSetting =
        error instanceof ParallelsFailure && error.kind === 'other' && error.message.includes('configure')
      throw isWrongSetting ? new ParallelsFailure('argument', error.native, error) : error
    }
  }
}
