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

/** The ids of the virtiofsds of a VM. Once one serves a QEMU, the folder that it runs in is not the VM's any more. */
export const virtiofsdsFor = async (vm: string): Promise<number[]> => {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const found: number[] = []
  for (const pid of pids) {
    const words = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')
    if (words.includes('virtiofsd') && words.includes(vm)) found.push(Number(pid))
  }
  return found
}
