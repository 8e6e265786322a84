import type { DriverOperation } from '../../operations.js'
import type { Actions } from './action.js'
import { guestActions } from './guest-actions.js'
import { guestFileActions } from './guest-file-actions.js'
import { guestWaits } from './guest-waits.js'
import { imageActions } from './image-actions.js'
import { nativeActions } from './native-actions.js'
import { observingActions } from './observing-actions.js'
import { serverActions } from './server-actions.js'
import { vmActions } from './vm-actions.js'

export const actions: Actions<DriverOperation> = {
  ...serverActions,
  ...imageActions,
  ...vmActions,
  ...observingActions,
  ...guestActions,
  ...guestFileActions,
  ...guestWaits,
  ...nativeActions,
}
