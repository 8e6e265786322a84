import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { Vm } from 'awaitvm'
import { expect, test } from 'vitest'
import { openMonitor } from '../../src/drivers/qmp/process/monitor.js'
import type { ConsoleReader } from '../../src/testing/conformance/console-reader.js'
import { debianWithAgent } from '../support/debian-with-agent.js'
import { bootToShell, runInShell } from '../support/linux-shell.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { QmpHost } from '../support/qmp-host.js'

type Service = 'loopback' | 'loopback6' | 'outer' | 'datagrams'

/** Services of this computer that a guest might reach, and those that were reached. */
class HostServices implements AsyncDisposable {
  readonly #loopback = createServer()
  readonly #loopback6 = createServer()
  readonly #outer = createServer()
  readonly #datagrams = createSocket('udp4')
  readonly reached = new Set<Service>()
  readonly firstDatagram = once(this.#datagrams, 'message')

  static async open(): Promise<HostServices> {
    const services = new HostServices()
    services.#loopback.on('connection', (socket) => {
      services.reached.add('loopback')
      socket.end('for this computer alone\n')
    })
    services.#loopback6.on('connection', (socket) => {
      services.reached.add('loopback6')
      socket.end('for this computer alone\n')
    })
    services.#outer.on('connection', (socket) => {
      services.reached.add('outer')
      socket.end('for the network\n')
    })
    services.#datagrams.on('message', () => {
      services.reached.add('datagrams')
    })
    services.#loopback.listen(0, '127.0.0.1')
    services.#loopback6.listen(0, hasIpv6 ? '::1' : '127.0.0.1')
    services.#outer.listen(0, '0.0.0.0')
    services.#datagrams.bind(0, '127.0.0.1')
    await Promise.all(services.#all.map((socket) => once(socket, 'listening')))
    return services
  }

  get ports(): Record<Service, number> {
    const [loopback, loopback6, outer, datagrams] = this.#all.map((socket) => (socket.address() as AddressInfo).port)
    return { loopback: loopback!, loopback6: loopback6!, outer: outer!, datagrams: datagrams! }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#all.map((socket) => once(socket, 'close'))
    for (const socket of this.#all) socket.close()
    await Promise.all(closed)
  }

  get #all(): [Server, Server, Server, Socket] {
    return [this.#loopback, this.#loopback6, this.#outer, this.#datagrams]
  }
}

/** An external address of this computer. */
const outerAddress = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address

/** Containers may have no IPv6. */
const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === '::1'),
)

/** A Linux guest that does not wait for DHCP, and uses the usual route to its host. */
async function bootLinux(vm: Vm): Promise<ConsoleReader> {
  const shell = await bootToShell(vm)
  await runInShell(shell, 'killall udhcpc; ip address flush dev eth0; ip link set eth0 down; ip link set eth0 up')
  await runInShell(shell, 'ip address add 10.0.2.15/24 dev eth0')
  await runInShell(shell, 'ip route add default via 10.0.2.2')
  return shell
}

/** QEMU's own list of connections. */
async function connectionsOf(host: QmpHost, vm: Vm): Promise<string> {
  const monitor = await openMonitor(host.folderOf(vm), 'watch.sock')
  const said = await monitor.execute('human-monitor-command', { 'command-line': 'info usernet' })
  await monitor.close()
  return String(said)
}

for (const outbound of [false, true]) {
  const reaches = outbound ? 'reaches' : 'does not reach'
  test(`a guest with outbound ${String(outbound)} ${reaches} its host, and is reached by its forwards`, async (context) => {
    skipWithout(context, missingQemu)
    const linux = await debianWithAgent()
    if (linux.unavailable !== undefined) {
      skipWithout(context, linux.unavailable)
      return
    }
    await using services = await HostServices.open()
    await using host = await QmpHost.open()
    const vm = await host.createVm({
      memoryMiB: 128,
      boot: { kernel: linux.kernel, initrd: linux.initrd, commandLine: 'console=ttyS0 quiet' },
      networkAdapters: [{ ...(outbound && { outbound }), portForwards: [{ guestPort: 80 }] }],
    })
    const shell = await bootLinux(vm)
    const { ports } = services

    // The first datagram was sent before the next step begins.
    await runInShell(shell, `tftp -g -l /file -r file 10.0.2.2 ${ports.datagrams} > /dev/null 2>&1 &`)
    await runInShell(shell, 'tftp -g -l /file -r file 10.0.2.3 53 > /dev/null 2>&1 &')
    await runInShell(shell, `nc -w 10 10.0.2.2 ${ports.loopback} < /dev/null`)
    if (outerAddress !== undefined) await runInShell(shell, `nc -w 10 ${outerAddress} ${ports.outer} < /dev/null`)
    // Router advertisements bring an address and the route; without them, the guest sets both itself.
    const wait = 'until grep -q "^fec0.* 00 *eth0" /proc/net/if_inet6; do usleep 100000; done'
    await runInShell(shell, outbound ? wait : 'ip address add fec0::15/64 dev eth0')
    if (hasIpv6) await runInShell(shell, `nc -w 10 fec0::2 ${ports.loopback6} < /dev/null`)
    if (outbound) await services.firstDatagram
    const all: Service[] = [
      'loopback',
      'datagrams',
      ...(outerAddress === undefined ? [] : (['outer'] as const)),
      ...(hasIpv6 ? (['loopback6'] as const) : []),
    ]
    expect(services.reached).toEqual(new Set(outbound ? all : []))
    expect(/\[(?!HOST_FORWARD|State)/.test(await connectionsOf(host, vm)), 'ways out, to the name server too').toBe(
      outbound,
    )

    await runInShell(shell, 'mkdir /www; echo hello from the guest > /www/index.html; httpd -p 80 -h /www')
    const [adapter] = (await vm.refresh().unwrap()).networkAdapters ?? []
    const url = `http://127.0.0.1:${String(adapter?.portForwards?.[0]?.hostPort)}/`
    expect(await (await fetch(url)).text()).toBe('hello from the guest\n')
    expect(await runInShell(shell, 'cat /sys/class/net/eth0/address')).toContain(adapter?.macAddress)
    shell.close()
    await vm.stop({ mode: 'kill' }).unwrap()
    await expect(fetch(url)).rejects.toThrow('fetch failed')
  })
}
