import { connect } from '../index.js'
import type { LinuxBoot } from './command-line.js'
import { converse } from './serial-terminal.js'

/** Boots the user's own Linux, with this terminal as its serial console; returns the exit code. */
export async function bootLinux(boot: LinuxBoot, memoryMiB: number | undefined, signal: AbortSignal): Promise<number> {
  if (!boot.commandLine.includes('console=ttyS0')) {
    note('The command line has no console=ttyS0: the kernel may print nothing here.')
  }
  await using server = await connect('embedded:', { signal }).unwrap()
  const vm = await server.createVm({ name: 'linux', boot, memoryMiB }, { signal }).unwrap()
  note(`Booting ${boot.kernel} with ${vm.config.memoryMiB} MiB: ${boot.commandLine}`)
  note(process.stdin.isTTY ? 'Ctrl-] leaves it.' : "What comes from the pipe is typed at the guest's first prompt.")
  await vm.start({ signal }).unwrap()

  const how = await converse(vm, signal)
  signal.throwIfAborted()
  if (how === 'left') {
    note('The machine was switched off.')
    return 0
  }
  const state = await vm.waitForState(['stopped', 'crashed'], { signal }).unwrap()
  note(state === 'crashed' ? 'The machine crashed.' : 'The guest has powered off.')
  return state === 'crashed' ? 1 : 0
}

/** On stderr, so that stdout has only the guest's output. */
const note = (text: string): void => void process.stderr.write(`[${text}]\n`)
