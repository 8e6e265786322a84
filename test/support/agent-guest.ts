import type { Vm, VmSpec } from 'awaitvm'
import { ConsoleReader } from '../../src/testing/conformance/console-reader.js'
import { within } from '../../src/testing/conformance/deadline.js'
import { debianWithAgent } from './debian-with-agent.js'
import type { QmpHost } from './qmp-host.js'

const bootTimeoutMs = 60_000

/** A VM whose guest has an agent, and its console, where a shell is. */
export async function bootAgentGuest(
  host: QmpHost,
  changes: Partial<VmSpec> = {},
  guest = debianWithAgent,
): Promise<{ vm: Vm; console: ConsoleReader }> {
  const linux = await guest()
  if (linux.unavailable !== undefined) throw new Error(linux.unavailable)
  const { kernel, initrd } = linux
  const boot = { kernel, initrd, commandLine: 'console=ttyS0 quiet' }
  const vm = await host.createVm({ memoryMiB: 128, boot, ...changes })
  await vm.start().unwrap()
  const console = new ConsoleReader(vm.console())
  await untilBooted(vm, console)
  return { vm, console }
}

/** Waits until the guest has booted, and its agent answers. */
export async function untilBooted(vm: Vm, console: ConsoleReader): Promise<void> {
  await console.until('shell ready', bootTimeoutMs)
  await untilAgentAnswers(vm)
}

export async function untilAgentAnswers(vm: Vm): Promise<void> {
  const answer = async (): Promise<void> => {
    while ((await vm.guest.exec(['true'])).isErr());
  }
  await within(answer(), () => 'the agent')
}
