/** Figures of a running VM since it was started; a figure that a host can't tell is absent. */
export interface VmStatistics {
  readonly takenAt: Date
  /** Milliseconds since it was started or resumed from disk. */
  readonly uptimeMs: number
  /** Processor time that the VM took of its host, in milliseconds. An embedded VM tells it from Node 23.9 on. */
  readonly cpuTimeMs?: number | undefined
  /** Memory given to the guest, in MiB. */
  readonly memoryMiB: number
  readonly diskReadBytes?: number | undefined
  readonly diskWrittenBytes?: number | undefined
  readonly networkReceivedBytes?: number | undefined
  readonly networkSentBytes?: number | undefined
}
