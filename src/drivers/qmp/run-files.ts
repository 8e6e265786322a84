/** Names in the VM's folder. QEMU runs in that folder, so that no socket path is too long. */
export const runFiles = {
  /** The monitor for the holder of the claim on the VM. */
  control: 'control.sock',
  /** The monitor for queries. */
  watch: 'watch.sock',
  /** The monitor whose output also goes to a file. */
  events: 'events.sock',
  eventLog: 'events.log',
  serial: 'serial.sock',
  console: 'console.log',
  agent: 'agent.sock',
  /** Made by a process that waits for the agent, which another process holds. */
  agentWanted: 'agent.wanted',
  /** The port for much data of programs that the agent runs. */
  bulk: 'bulk.sock',
  pid: 'qemu.pid',
  /** The output of QEMU itself. */
  log: 'qemu.log',
} as const
