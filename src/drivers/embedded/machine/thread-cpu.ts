declare global {
  // eslint-disable-next-line @typescript-eslint/no-namespace -- the only way to say what a newer Node has
  namespace NodeJS {
    interface Process {
      /** Microseconds. Node has it from 23.9 on. */
      threadCpuUsage?(): { readonly user: number; readonly system: number }
    }
  }
}

/**
 * Milliseconds of processor time that this thread has used; nothing if Node does not tell. The busy time of its event loop is
 * no measure: on a busy computer, most of it is waiting for a processor.
 */
export function threadCpuMs(): number | undefined {
  const usage = process.threadCpuUsage?.()
  return usage && (usage.user + usage.system) / 1000
}
