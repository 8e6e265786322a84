import type { VmConfig } from '../../model/vm-config.js'
import { withShares } from '../../model/share.js'
import { configOf } from '../../registry/kept-definition.js'
import type { Definition } from './definition.js'
import { cdromsWithBus, disksWithBus } from './disks/drive-places.js'
import { shownMachine } from './hardware/machine.js'
import { shownSeed } from './hardware/seed.js'

/** The settings of a VM as users see them. */
export const shownConfig = (definition: Definition, isRunning: boolean): VmConfig => {
  const { hardware } = definition
  const { seed, machine, shares, tpm, extraArguments = [] } = hardware
  const shown = { ...hardware, disks: disksWithBus(hardware), cdroms: cdromsWithBus(hardware) }
  const config = configOf({ ...definition, hardware: shown }, isRunning)
  return {
    ...config,
    ...shownMachine(machine),
    ...(extraArguments.length > 0 && { native: { arguments: extraArguments } }),
    ...withShares(shares),
    ...(tpm !== undefined && { tpm: true }),
    ...(seed !== undefined && { cloudInit: shownSeed(seed) }),
  }
}
