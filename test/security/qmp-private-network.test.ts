import type { AdapterNetwork, Vm } from 'awaitvm'
import { expect, test } from 'vitest'
import type { ConsoleReader } from '../../src/testing/conformance/console-reader.js'
import { debianWithAgent } from '../support/debian-with-agent.js'
import { bootToShell, runInShell } from '../support/linux-shell.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'

const pagesBytes = 200_000

test('guests on one private network reach each other there, and on no other network', async (context) => {
  skipWithout(context, missingQemu)
  const linux = await debianWithAgent()
  if (linux.unavailable !== undefined) {
    skipWithout(context, linux.unavailable)
    return
  }
  await using host = await QmpHost.open()
  const make = (name: string, ...networks: AdapterNetwork[]): Promise<Vm> =>
    host.createVm({
      name,
      memoryMiB: 128,
      boot: { kernel: linux.kernel, initrd: linux.initrd, commandLine: 'console=ttyS0 quiet' },
      networkAdapters: networks.map((network) => ({ network })),
    })
  /** Both adapters are set up in the same way: what works on one of them works on the other, if anybody is there. */
  const boot = async (vm: Vm, place: number): Promise<ConsoleReader> => {
    const shell = await bootToShell(vm)
    await runInShell(shell, 'killall udhcpc; ip address flush dev eth0; ip link set eth0 up; ip link set eth1 up')
    await runInShell(shell, `ip address add 10.77.0.${place}/24 dev eth0; ip address add 10.78.0.${place}/24 dev eth1`)
    return shell
  }
  const one = await make('one', { private: 'lab' }, { private: 'east' })
  const two = await make('two', { private: 'lab' }, { private: 'west' })
  const [first, second] = await Promise.all([boot(one, 1), boot(two, 2)])

  await runInShell(second, `mkdir /www; head -c ${pagesBytes} /dev/zero > /www/pages; httpd -p 80 -h /www`)
  const fetched = await runInShell(
    first,
    String.raw`printf 'GET /pages HTTP/1.0\r\n\r\n' | nc 10.77.0.2 80 | tail -n 1 | wc -c`,
  )
  expect(fetched).toContain(`\n${pagesBytes}\r`)
  expect(await runInShell(first, 'ping -c 1 -W 3 10.78.0.2')).toContain('100% packet loss')
  // A guest sees its own packets come back. It does not take its address for that of another: 40 is a check that goes on, 80 its success.
  const checked = 'while grep -q " [4c]0 *eth1" /proc/net/if_inet6; do usleep 100000; done; cat /proc/net/if_inet6'
  expect(await runInShell(first, checked)).toMatch(/^fe80\S+ \S+ 40 20 80 +eth1/m)

  await two.suspend().unwrap()
  await two.resume().unwrap()
  expect(await runInShell(first, 'ping -c 1 -W 30 10.77.0.2')).toContain(' 0% packet loss')
})
