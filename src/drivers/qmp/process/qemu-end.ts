import { readdir, readlink } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { errorCode } from '../../../errors/native.js'
import { isAlive, type ProcessIdentity } from '../../../registry/process-identity.js'
import { runFiles } from '../run-files.js'
import { openMonitor } from './monitor.js'
import type { QmpClient } from '../protocol/qmp-client.js'
import { doesNotEnd, folderId, isQemuOf, signalQemu, type FolderId } from './own-qemu.js'
import { announcedEnd } from './run-record.js'

const pollMs = 3
/** How long each means may take to end a QEMU, before the next is tried. */
export const stepMs = 3000
/** How long a QEMU that has said that it ends is left alone; it takes some 10 ms. */
const graceMs = 200
/** After that, it is not closing its disks any more, but stuck. */
const closingMs = 10_000

/**
 * Ends a QEMU: by asking, then by asking the system, then by force. What the guest has written to its disks is kept.
 * @throws HostError where it does not end, or where no process is proven to be it
 */
export async function endQemu(folder: string, identity: ProcessIdentity, monitor?: QmpClient): Promise<void> {
  try {
    const client = monitor ?? (await openMonitor(folder, runFiles.control, stepMs))
    try {
      await client.execute('quit', undefined, { timeoutMs: stepMs })
    } finally {
      await client.close()
    }
  } catch (error) {
    // Gone already, or deaf: what follows does not ask.
    if (!(error instanceof Error)) throw error
  }
  if (await hasEnded(folder, identity, stepMs)) return
  const own = folderId(folder)
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (signalQemu(own, identity, signal) && (await hasEnded(folder, identity, stepMs))) return
  }
  if (isAlive(identity, folder)) throw doesNotEnd(own, identity)
}

/** Waits until a QEMU that has said that it ends is gone. */
export async function untilEnded(folder: string, identity: ProcessIdentity): Promise<void> {
  if (await hasEnded(folder, identity, closingMs)) return
  if (signalQemu(folderId(folder), identity, 'SIGKILL')) await hasEnded(folder, identity, stepMs)
}

/**
 * Whether the process is gone within the time. QEMU 7.2 may wait for itself without end when its guest powers off while it
 * answers a command (monitor_cleanup); by then its disks are closed, and it has nothing left to lose.
 */
export async function hasEnded(folder: string, identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const began = performance.now()
  while (isAlive(identity, folder)) {
    const waited = performance.now() - began
    if (waited > timeoutMs) return false
    if (waited > graceMs && (await announcedEnd(folder)) !== undefined)
      await endWithoutDisks(folderId(folder), identity)
    await delay(waited > graceMs ? 10 * pollMs : pollMs)
  }
  return true
}

async function endWithoutDisks(folder: FolderId, identity: ProcessIdentity): Promise<void> {
  if (isQemuOf(folder, identity) && !(await hasOpenDisks(identity.pid))) signalQemu(folder, identity, 'SIGKILL')
}

/** Where the system does not tell, it may have. */
async function hasOpenDisks(pid: number): Promise<boolean> {
  const folder = `/proc/${String(pid)}/fd`
  try {
    const files = await Promise.all((await readdir(folder)).map((fd) => readlink(`${folder}/${fd}`)))
    return files.some((file) => file.endsWith('.qcow2'))
  } catch (error) {
    // It may well have ended meanwhile.
    if (errorCode(error) === 'ENOENT') return true
    throw error
  }
}
