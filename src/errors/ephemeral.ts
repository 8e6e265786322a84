import { NotSupportedError } from '../errors.js'

/** Throws if the operation would take an ephemeral VM away from the connection that it ends with. */
export function requireKept(operation: 'vm.unregister' | 'vm.migrate', isEphemeral: boolean): void {
  if (!isEphemeral) return
  throw new NotSupportedError({
    capability: operation,
    reason: 'it is ephemeral, and has to end with its connection',
    hint: 'Keep it first with vm.edit({ ephemeral: false }).',
  })
}
