/** Names in the VM's folder, which is where QEMU runs: so no path is too long for a socket. */
export const runFiles = {
  /** The monitor of whoever has the claim on the VM. */
  control: 'control.sock',
  /** The monitor for those who only look. */
  watch: 'watch.sock',
  /** The monitor whose output goes to a file, whether anybody listens or not. */
  events: 'events.sock',
  eventLog: 'events.log',
  serial: 'serial.sock',
  console: 'console.log',
  agent: 'agent.sock',
  pid: 'qemu.pid',
  /** What QEMU itself says. */
  log: 'qemu.log',
} as const
