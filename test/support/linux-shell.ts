import type { Vm } from 'awaitvm'
import { ConsoleReader } from '../../src/testing/conformance/console-reader.js'

const bootTimeoutMs = 50_000

/** Starts a VM with the tests' Debian, and waits for the shell on its console. */
export async function bootToShell(vm: Vm): Promise<ConsoleReader> {
  await vm.start().unwrap()
  const shell = new ConsoleReader(vm.console())
  await shell.until('shell ready', bootTimeoutMs)
  await shell.until('# ', bootTimeoutMs)
  return shell
}

/** Runs a command in the guest, and returns its output. */
export async function runInShell(shell: ConsoleReader, command: string): Promise<string> {
  shell.send(`${command}\necho end-of-"command"`)
  const [printed] = await shell.until(/[^]*end-of-command/)
  return printed
}
