import { isIP } from 'node:net'
import * as v from 'valibot'
import type { DriverOperations } from '../../driver/driver.js'
import type { Task } from '../../driver/task.js'
import { GuestUnavailableError, NotSupportedError } from '../../errors.js'
import { guestOperations } from '../../guest/guest-operations.js'
import type { OperationCode } from '../../operations.js'
import type { NetworkAddress } from '../../model/network-address.js'
import { ParallelsFailure } from './parallels-failure.js'
import type { ParallelsHost } from './parallels-host.js'
import { ParallelsWay } from './parallels-way.js'
import { expectedStates, type ParallelsWork } from './parallels-work.js'
import type { VmInfo } from './vm-info.js'

const rowsSchema = v.array(v.object({ ip_configured: v.optional(v.string(), '') }))

/** What is done in guests: by programs that prlctl runs there. */
export const parallelsGuestOperations = (host: ParallelsHost, work: ParallelsWork): DriverOperations => ({
  ...guestOperations({
    use: (vm, task, action) =>
      work.useGuest(task, vm, (info) => {
        requireTools(info, task)
        if (info.isWindows) throw withoutShell(task, 'its guest is Windows')
        const explain = async (error: unknown): Promise<unknown> =>
          error instanceof ParallelsFailure && isOfWindowsShell(error)
            ? withoutShell(task, 'its guest has the shell of Windows', error)
            : work.explain(error, { operation: task.operation, vm, path: 'command', expected: expectedStates(task) })
        return action(new ParallelsWay({ prlctl: host.prlctl, vm }, explain))
      }),
  }),
  'guest.getNetworkAddresses': ({ vm }, task) =>
    work.query(task, vm, async () => {
      requireTools(await work.lookFirst(vm, task), task)
      return await addressesOf(host, vm)
    }),
})

async function addressesOf(host: ParallelsHost, vm: string): Promise<readonly NetworkAddress[]> {
  if (host.prlctl.flavour === 'desktop') return (await host.look(vm, { isFull: true })).addresses
  const rows = v.safeParse(rowsSchema, await host.prlctl.row(vm))
  const words = rows.success ? rows.output.flatMap((row) => row.ip_configured.split(/[\s,]+/)) : []
  return words
    .filter((address) => isIP(address) !== 0)
    .map((address) => ({ interfaceName: 'net', address, family: address.includes(':') ? 'ipv6' : 'ipv4' }))
}

const waits: ReadonlySet<OperationCode> = new Set(['guest.waitUntilReady', 'guest.waitForPort'])

function requireTools({ tools }: VmInfo, { operation }: Task): void {
  if (tools !== 'not_installed') return
  throw new GuestUnavailableError({
    reason: 'Parallels Tools are not installed in it',
    hint: 'Install them with "prlctl installtools", and start the guest again.',
    // The guest that is waited for may be about to install them.
    retryable: waits.has(operation),
  })
}

const withoutShell = ({ operation }: Task, reason: string, failure?: ParallelsFailure): NotSupportedError =>
  new NotSupportedError({
    capability: operation,
    reason: `${reason}, and work in a guest needs a POSIX shell`,
    hint: 'Use the remote administration of the guest, or share a folder with it.',
    native: failure?.native,
    cause: failure,
  })

/** True for the error of the Windows shell for an unknown program. The VM's type may be set wrongly. */
const isOfWindowsShell = ({ message }: ParallelsFailure): boolean =>
  /is not recognized as an internal or external command/i.test(message)
