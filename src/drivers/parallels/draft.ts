import { createHash, randomBytes } from 'node:crypto'
import { isAlive, ownIdentity } from '../../registry/process-identity.js'

/**
 * The name of a VM until it is whole: `awaitvm-draft-MACHINE-BOOT-PID-BEGAN-RANDOM`. It says which process is making it, so that
 * what a process that was killed has left behind can be told apart from what is being made.
 */
const pattern = /^awaitvm-draft-([0-9a-f]{16})-([0-9a-f]{8})-(\d{1,10})-(\d{0,20})-[0-9a-f]{16}$/

const digest = (text: string, length: number): string =>
  createHash('sha256').update(text).digest('hex').slice(0, length)

const machineOf = (host: string): string => digest(host, 16)
const bootOf = (boot: string): string => digest(boot, 8)

export function newDraftName(): string {
  const { host, pid, boot, began } = ownIdentity()
  const maker = [machineOf(host), bootOf(boot), String(pid), began].join('-')
  return `awaitvm-draft-${maker}-${randomBytes(8).toString('hex')}`
}

export const isDraft = (name: string): boolean => pattern.test(name)

/** Whether whoever was making it is gone. One of another machine can't be asked, and counts as still being there. */
export function isAbandonedDraft(name: string): boolean {
  const [, machine, bootDigest, pid, began = ''] = pattern.exec(name) ?? []
  const { host, boot } = ownIdentity()
  if (machine !== machineOf(host)) return false
  // Since the machine was started anew, every process from before is gone.
  return bootDigest !== bootOf(boot) || !isAlive({ host, boot, pid: Number(pid), began })
}
