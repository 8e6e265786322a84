/** Folders for the files of a benchmark. Nothing of them is left however it ends, `kill -9` of the benchmark itself aside. */
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, sep } from 'node:path'

const memory = '/dev/shm'
const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export interface BenchFolder extends Disposable {
  readonly path: string
}

/** In memory, if the system has `/dev/shm`, so that no disk distorts the figures. */
export const folderInMemory = (): BenchFolder => benchFolder(existsSync(memory) ? memory : tmpdir())

/** On the disk of temporary files, as directories of VMs are. */
export const folderOnDisk = (): BenchFolder => benchFolder(tmpdir())

function benchFolder(parent: string): BenchFolder {
  const path = mkdtempSync(join(parent, 'awaitvm-bench-'))
  const clear = (): void => {
    endProcessesIn(path)
    // A process that was killed may still be writing.
    rmSync(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
  }
  const end = (): void => {
    process.exit(1)
  }
  process.once('exit', clear)
  for (const signal of endingSignals) process.once(signal, end)
  return {
    path,
    [Symbol.dispose]() {
      clear()
      process.off('exit', clear)
      for (const signal of endingSignals) process.off(signal, end)
    },
  }
}

/** Kills what runs in the folder: the QEMUs of its VMs outlive this process, and so do bare ones. */
function endProcessesIn(folder: string): void {
  if (process.platform !== 'linux') return
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (readlinkSync(`/proc/${pid}/cwd`).startsWith(folder + sep)) process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It has ended, or is another user's.
    }
  }
}
