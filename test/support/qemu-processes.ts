import { readdir, readFile, readlink } from 'node:fs/promises'

/** The ids of the processes of a program, or of all of awaitvm's, that run in a directory or below it. */
export const processesIn = async (directory: string, program = /qemu-system|swtpm/): Promise<number[]> => {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const found: number[] = []
  for (const pid of pids) {
    // A process may end while its entry is read.
    const [cwd, words] = await Promise.all([
      readlink(`/proc/${pid}/cwd`).catch(() => ''),
      readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => ''),
    ])
    if (cwd.startsWith(directory) && program.test(words.split('\0')[0] ?? '')) found.push(Number(pid))
  }
  return found
}

/** The process ids of the QEMUs that run in a directory or below it. */
export const qemusIn = (directory: string): Promise<number[]> => processesIn(directory, /qemu-system/)
