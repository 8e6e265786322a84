import { readdir, readFile, readlink } from 'node:fs/promises'

/** The process ids of the QEMUs that run in a directory or below it. */
export const qemusIn = async (directory: string): Promise<number[]> => {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const found: number[] = []
  for (const pid of pids) {
    // A process may end while its entry is read.
    const [cwd, words] = await Promise.all([
      readlink(`/proc/${pid}/cwd`).catch(() => ''),
      readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => ''),
    ])
    if (cwd.startsWith(directory) && words.includes('qemu-system')) found.push(Number(pid))
  }
  return found
}
