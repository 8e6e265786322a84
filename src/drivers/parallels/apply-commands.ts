import type { SetCommand } from './configuration.js'
import { ParallelsFailure } from './parallels-failure.js'
import type { Prlctl } from './prlctl.js'
import { argumentOf } from './vm-id.js'

interface ApplyOptions {
  readonly signal?: AbortSignal | undefined
  /** Hears of each command that was carried out. */
  readonly onApplied?: ((command: SetCommand) => void) | undefined
}

/** Runs the commands one after another, up to the first that fails. */
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
      // Whatever prlctl finds wrong with a setting, it says in words of its own.
      const isWrongSetting =
        error instanceof ParallelsFailure && error.kind === 'other' && error.message.includes('configure')
      throw isWrongSetting ? new ParallelsFailure('argument', error.native, error) : error
    }
  }
}
