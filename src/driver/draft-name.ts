import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { errorCode } from '../errors/native.js'
import { isAlive, ownIdentity } from '../registry/process-identity.js'

/**
 * The name of a VM until its creation is complete: `awaitvm-draft-MACHINE-KERNEL-NAMESPACE-PID-BEGAN-RANDOM`. It identifies the
 * process that creates the VM, so that drafts of killed processes can be told from those in progress.
 */
const pattern = /^awaitvm-draft-([0-9a-f]{16})-([0-9a-f]{8})-([0-9a-f]{8})-(\d{1,10})-(\d{0,20})-[0-9a-f]{16}$/

const digest = (text: string, length: number): string =>
  createHash('sha256').update(text).digest('hex').slice(0, length)

/** `machine-id(5)`: it differs between machines of the same name, such as `localhost`. Empty if the system has none. */
const machineId = (): string => {
  try {
    return readFileSync('/etc/machine-id', 'latin1')
  } catch (error) {
    if (['ENOENT', 'EACCES', 'EPERM', 'ENOTDIR'].includes(errorCode(error) ?? '')) return ''
    throw error
  }
}

const own = (): { readonly machine: string; readonly kernel: string; readonly namespace: string } => {
  const { kernel, namespace } = ownIdentity(true)
  return {
    machine: digest(`${hostname()}\n${machineId()}`, 16),
    kernel: digest(kernel, 8),
    namespace: digest(namespace, 8),
  }
}

export function newDraftName(): string {
  const { machine, kernel, namespace } = own()
  const { pid, began } = ownIdentity(true)
  const random = randomBytes(8).toString('hex')
  return ['awaitvm-draft', machine, kernel, namespace, String(pid), began, random].join('-')
}

export const isDraft = (name: string): boolean => pattern.test(name)

/** True if the process that made the draft has ended. A process of another machine or container counts as running. */
export function isAbandonedDraft(name: string): boolean {
  const [, machine, kernel, namespace, pid, began = ''] = pattern.exec(name) ?? []
  const self = own()
  if (machine !== self.machine) return false
  // The machine was rebooted: no process from before is left.
  if (kernel !== self.kernel) return true
  return namespace === self.namespace && !isAlive({ ...ownIdentity(true), pid: Number(pid), began }, '/')
}
