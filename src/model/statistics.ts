/** Figures of a running VM since it was started. A figure that the host does not report is absent. */
export interface VmStatistics {
  /** When the figures were taken. */
  readonly takenAt: Date
  /** Milliseconds since it was started or resumed from disk. */
  readonly uptimeMs: number
  /** Processor time that the VM has used on its host, in milliseconds. Of embedded VMs, only from Node 23.9 on. */
  readonly cpuTimeMs?: number | undefined
  /** Memory given to the guest, in MiB. */
  readonly memoryMiB: number
  /** Bytes that the guest has read from its disks. */
  readonly diskReadBytes?: number | undefined
  /** Bytes that the guest has written to its disks. */
  readonly diskWrittenBytes?: number | undefined
  /** Bytes that the guest has received from its networks. */
  readonly networkReceivedBytes?: number | undefined
  /** Bytes that the guest has sent to its networks. */
  readonly networkSentBytes?: number | undefined
}
