import type { DriverOperations } from '../driver/driver.js'
import type { Task } from '../driver/task.js'
import { copyIn } from './copy-in.js'
import { copyOut } from './copy-out.js'
import { mkdir, readdir, readFile, rename, rm, stat } from './guest-files.js'
import { getInfo, getNetworkAddresses } from './guest-info.js'
import type { GuestHost } from './guest-way.js'
import { waitUntilReady } from './readiness.js'
import { notKept } from './refusals.js'
import type { InGuest } from './run-script.js'
import { waitForPort } from './wait-for-port.js'
import { argvOf } from './wrapped-program.js'
import { writeNewFile } from './write-file.js'

/**
 * All operations in a guest, for a driver that can run programs in it. Files are read and written by scripts for the guest's POSIX
 * shell, folders are copied by its tar. They need GNU's programs or busybox, and so a Linux guest.
 *
 * @example
 * ```ts
 * import { guestOperations, type DriverOperations, type GuestWay } from 'awaitvm/driver'
 *
 * declare const wayInto: (vm: string) => Promise<GuestWay>
 *
 * const operations: DriverOperations = {
 *   ...guestOperations({ use: async (vm, _task, action) => action(await wayInto(vm)) }),
 * }
 * ```
 */
export function guestOperations(host: GuestHost): DriverOperations {
  // The signal is read before any waiting, so that the job can be cancelled from its first moment.
  const inGuest = <T>(
    vm: string,
    task: Task,
    action: (guest: InGuest) => Promise<T>,
    signal = task.signal,
  ): Promise<T> => host.use(vm, task, (way) => action({ way, operation: task.operation, signal }))
  /** For what is done in one step, and can't be stopped. */
  const inOneStep = <T>(vm: string, task: Task, action: (guest: InGuest) => Promise<T>): Promise<T> =>
    inGuest(vm, task, action, new AbortController().signal)

  return {
    'guest.exec': (input, task) => {
      const { detached, ...options } = input.options
      if (detached === true) return host.execDetached?.(input, task) ?? Promise.reject(notKept())
      return inGuest(input.vm, task, ({ way, signal }) =>
        way.run({ argv: argvOf(input.command), ...options, endsWithClient: true }, input.io, signal),
      )
    },
    'guest.readFile': (input, task) => inGuest(input.vm, task, (guest) => readFile(guest, input)),
    'guest.writeFile': ({ vm, path, input, mode, append }, task) =>
      inGuest(vm, task, (guest) => writeNewFile(guest, { path, content: input, mode, append })),
    'guest.readdir': (input, task) => inGuest(input.vm, task, (guest) => readdir(guest, input)),
    'guest.stat': (input, task) => inGuest(input.vm, task, (guest) => stat(guest, input)),
    'guest.mkdir': (input, task) => inOneStep(input.vm, task, (guest) => mkdir(guest, input)),
    'guest.rm': (input, task) => inOneStep(input.vm, task, (guest) => rm(guest, input)),
    'guest.rename': (input, task) => inOneStep(input.vm, task, (guest) => rename(guest, input)),
    'guest.copyIn': (input, task) => inGuest(input.vm, task, (guest) => copyIn(guest, task, input)),
    'guest.copyOut': (input, task) => inGuest(input.vm, task, (guest) => copyOut(guest, task, input)),
    'guest.getInfo': ({ vm }, task) => inGuest(vm, task, getInfo),
    'guest.waitUntilReady': ({ vm }, task) => waitUntilReady(host, vm, task),
    'guest.waitForPort': (input, task) => waitForPort(host, input, task),
    'guest.getNetworkAddresses': ({ vm }, task) => inGuest(vm, task, getNetworkAddresses),
  }
}
