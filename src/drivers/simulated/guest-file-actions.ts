import { invalidState } from '../../errors/state.js'
import type { Sink } from '../../driver/program-io.js'
import type { DriverOperation } from '../../operations.js'
import type { Actions } from './action.js'
import { copyIn, copyOut } from './files/copies.js'
import { maxCopyBytes, tooLarge } from './files/folder-archive.js'
import type { FileSystem } from './files/file-system.js'
import { inGuest } from './guest-work.js'
import { reachGuest } from './guest-reach.js'
import type { SimulatedHost } from './host.js'
import type { Run } from './run.js'

export type FileOperation = Extract<
  DriverOperation,
  | 'guest.readFile'
  | 'guest.writeFile'
  | 'guest.readdir'
  | 'guest.stat'
  | 'guest.mkdir'
  | 'guest.rm'
  | 'guest.rename'
  | 'guest.copyIn'
  | 'guest.copyOut'
>

/** The size of the pieces in which a file is read. */
const pieceBytes = 64 * 1024

/** The operations on files of a guest. */
export const guestFileActions: Actions<FileOperation> = {
  'guest.readFile': async (host, run, { vm: id, path, output, start = 0, end }) => {
    const content = await at(host, run, id, (files) => files.read(path))
    await whileGuestLives(host, run, id, (signal) => send(content.subarray(start, end), output, signal))
  },

  'guest.writeFile': async (host, run, { vm: id, path, input, mode, append }) => {
    await at(host, run, id, () => undefined)
    const content = await whileGuestLives(host, run, id, (signal) => collect(input, signal))
    now(host, run, id, (files) => {
      files.write(path, content, { mode, append })
    })
  },

  'guest.readdir': (host, run, { vm: id, path }) => at(host, run, id, (files) => files.list(path)),

  'guest.stat': (host, run, { vm: id, path, followLinks }) =>
    at(host, run, id, (files) => files.stat(path, followLinks)),

  'guest.mkdir': (host, run, { vm: id, path, recursive, mode }) =>
    at(host, run, id, (files) => {
      files.makeFolder(path, { recursive, mode })
    }),

  'guest.rm': (host, run, { vm: id, path, recursive, force }) =>
    at(host, run, id, (files) => {
      files.remove(path, { recursive, force })
    }),

  'guest.rename': (host, run, { vm: id, from, to }) =>
    at(host, run, id, (files) => {
      files.rename(from, to)
    }),

  'guest.copyIn': async (host, run, { vm: id, ...input }) => {
    await at(host, run, id, (files) => {
      // What can't be replaced is refused before anything is read.
      files.stat(input.to, true)
    })
    const put = await run.busy(
      copyIn(input, (progress) => {
        run.report(progress)
      }),
    )
    now(host, run, id, put)
  },

  'guest.copyOut': async (host, run, { vm: id, from, to }) => {
    const node = await at(host, run, id, (files) => files.copied(from))
    run.throwIfInterrupted()
    run.refuseCancels()
    await run.busy(
      copyOut(node, to, (progress) => {
        run.report(progress)
      }),
    )
  },
}

/** Does something with the files after the time of the operation. */
const at = <R>(host: SimulatedHost, run: Run, id: string, action: (files: FileSystem) => R): Promise<R> =>
  run.look(() => now(host, run, id, action), host.store.get(id))

function now<R>(host: SimulatedHost, run: Run, id: string, action: (files: FileSystem) => R): R {
  return reachGuest(host, id, operationOf(run)).vm.withFiles(host.clock.now, action)
}

function whileGuestLives<R>(
  host: SimulatedHost,
  run: Run,
  id: string,
  work: (signal: AbortSignal) => Promise<R>,
): Promise<R> {
  const { vm, machine } = reachGuest(host, id, operationOf(run))
  return inGuest(run, machine, work, () => invalidState(vm.state, ['running']))
}

const operationOf = ({ operation }: Run): DriverOperation => operation as DriverOperation

async function send(content: Uint8Array, output: Sink, signal: AbortSignal): Promise<void> {
  for (let from = 0; from < content.byteLength && !signal.aborted; from += pieceBytes) {
    await output(content.subarray(from, from + pieceBytes))
  }
}

/** All of an input, which a signal ends. */
async function collect(input: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of input) {
    signal.throwIfAborted()
    size += piece.byteLength
    if (size > maxCopyBytes) throw tooLarge()
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}
