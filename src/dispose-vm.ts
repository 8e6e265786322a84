import type { Result } from 'neverthrow'
import type { VmError } from './errors.js'
import type { VmConfig } from './model/vm-config.js'

interface DisposableVm {
  refresh(): PromiseLike<Result<VmConfig, VmError>>
  delete(options: { readonly force: true }): PromiseLike<Result<void, VmError>>
}

/** The end of `await using vm`: deletes a VM that is ephemeral now, since another connection may have kept it; others stay. */
export async function disposeVm(vm: DisposableVm, connection: { readonly isClosed: boolean }): Promise<void> {
  // It has gone with the connection.
  if (connection.isClosed) return
  const config = await vm.refresh()
  if (config.isOk() && config.value.ephemeral !== true) return
  const outcome = config.isErr() ? config : await vm.delete({ force: true })
  if (outcome.isErr() && outcome.error.code !== 'VM_NOT_FOUND') throw outcome.error
}
