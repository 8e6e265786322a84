import type { VmConfig } from '../../model/vm-config.js'
import { configOf } from '../../registry/kept-definition.js'
import type { Definition } from './definition.js'
import { shownSeed } from './hardware/seed.js'

/** The settings of a VM as users see them. */
export const shownConfig = (definition: Definition, isRunning: boolean): VmConfig => {
  const { seed } = definition.hardware
  return { ...configOf(definition, isRunning), ...(seed !== undefined && { cloudInit: shownSeed(seed) }) }
}
