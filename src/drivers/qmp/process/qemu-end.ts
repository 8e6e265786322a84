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
/** How long to wait for the end of QEMU after each attempt to end it. */
export const stepMs = 3000
/** How long to wait for a QEMU that has announced its end, which takes some 10 ms. */
const graceMs = 200
/** After this time, QEMU is not closing its disks any more, but stuck. */
const closingMs = 10_000

/**
 * Ends a QEMU: by the command `quit`, then by SIGTERM, then by SIGKILL. What the guest has written to its disks is kept.
 * @throws HostError if QEMU does not end, or no process is proven to be that QEMU
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
    // QEMU is gone already, or does not answer: signals follow.
    if (!(error instanceof Error)) throw error
  }
  if (await hasEnded(folder, identity, stepMs)) return
  const own = folderId(folder)
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (signalQemu(own, identity, signal) && (await hasEnded(folder, identity, stepMs))) return
  }
  if (isAlive(identity, folder)) throw doesNotEnd(own, identity)
}

/** Waits for the end of a QEMU that has announced it. */
export async function untilEnded(folder: string, identity: ProcessIdentity): Promise<void> {
  if (await hasEnded(folder, identity, closingMs)) return
  if (signalQemu(folderId(folder), identity, 'SIGKILL')) await hasEnded(folder, identity, stepMs)
}

/**
 * True if the process ends within the time. QEMU 7.2 may deadlock in monitor_cleanup if its guest powers off during a command.
 * Its disks are closed by then, so that it is killed.
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

/** True if the system does not tell. */
async function hasOpenDisks(pid: number): Promise<boolean> {
  const folder = `/proc/${String(pid)}/fd`
  try {
    const files = await Promise.all((await readdir(folder)).map((fd) => readlink(`${folder}/${fd}`)))
    return files.some((file) => file.endsWith('.qcow2'))
  } catch (error) {
    // The process may have ended in between.
    if (errorCode(error) === 'ENOENT') return true
    throw error
  }
}
