import * as v from 'valibot'
import type { DriverInputs } from '../driver/driver.js'
import type { Task } from '../driver/task.js'
import { HostError, ProtocolError, VmError } from '../errors.js'
import { errnoError } from '../errors/errno.js'
import { errorCode, nativeErrorOf } from '../errors/native.js'
import { ByteReader } from '../files/byte-reader.js'
import { CopyLimit } from '../files/copy-limit.js'
import { TarContentError, TarError, TarReader } from '../files/tar-reader.js'
import { unpackFolder } from '../files/unpack-folder.js'
import { writeWholeFile } from '../files/whole-file.js'
import { writeWholeFolder } from '../files/whole-folder.js'
import { sendScript } from './file-scripts.js'
import { fileError } from './guest-failure.js'
import { guestPath } from './guest-path.js'
import { lost, readScript, type InGuest } from './run-script.js'

/** Longest line that says what is copied. */
const maxHeadLine = 100

const sizeSchema = v.pipe(v.string(), v.digits(), v.transform(Number), v.safeInteger())
const headSchema = v.union([
  v.tuple([v.literal('directory'), sizeSchema]),
  v.tuple([
    v.literal('file'),
    sizeSchema,
    v.pipe(
      v.string(),
      v.regex(/^[0-7]{1,7}$/),
      v.transform((digits) => Number.parseInt(digits, 8) & 0o777),
    ),
    v.pipe(v.string(), v.regex(/^-?\d{1,12}$/), v.transform(Number)),
  ]),
])

/** Copies a file or a folder out of a guest. */
export async function copyOut(guest: InGuest, task: Task, input: DriverInputs['guest.copyOut']): Promise<void> {
  const script = {
    text: sendScript,
    args: [guestPath(input.from)],
    isHarmless: true,
    isBulk: true,
  }
  const receive = async (bytes: AsyncIterable<Uint8Array>, untilEnd: () => Promise<void>): Promise<void> => {
    const reader = new ByteReader(bytes)
    const line = await reader.readLine(maxHeadLine)
    const head = v.safeParse(headSchema, line?.split(' '))
    if (!head.success) throw new ProtocolError({ reason: 'the guest does not say what it sends' })
    if (head.output[0] === 'directory')
      await receiveFolder(guest, task, input, { reader, untilEnd, total: head.output[1] })
    else await receiveFile(guest, task, input, { reader, untilEnd, head: head.output })
  }
  // A file that grows is copied as far as it went at first.
  await readScript(guest, input.from, script, receive, { mayGoOn: true })
}

interface Sent {
  readonly reader: ByteReader
  /** Resolves when the guest has ended well. The copy gets its name only then: it is complete, and no longer cancelled. */
  readonly untilEnd: () => Promise<void>
}

async function receiveFile(
  { way }: InGuest,
  task: Task,
  { to }: DriverInputs['guest.copyOut'],
  {
    reader,
    untilEnd,
    head: [, size, mode, mtime],
  }: Sent & { readonly head: readonly ['file', number, number, number] },
): Promise<void> {
  await writeWholeFile(to, way.driver, async ({ file, isNew, requireRoom }) => {
    await requireRoom(size)
    const limit = new CopyLimit(size)
    while (limit.left > 0) {
      const piece = await reader.readSome(limit.left)
      if (piece.length === 0) break
      limit.add(piece.length)
      await file.writeFile(piece)
      task.progress({ phase: 'copying', done: limit.done, total: limit.total, unit: 'bytes' })
    }
    if (limit.done < size) throw lost(way)
    if (isNew) await file.chmod(mode)
    await file.utimes(mtime, mtime)
    await untilEnd()
  })
}

async function receiveFolder(
  { way }: InGuest,
  task: Task,
  { from, to }: DriverInputs['guest.copyOut'],
  { reader, untilEnd, total }: Sent & { readonly total: number },
): Promise<void> {
  await writeWholeFolder(to, way.driver, async (draft) => {
    const tar = new TarReader(reader)
    const progress = (done: number, of: number): void => {
      task.progress({ phase: 'copying', done, total: of, unit: 'bytes' })
    }
    const onWritten = (done: number): void => {
      progress(done, total)
    }
    const written = await unpackFolder(tar, draft, { maxBytes: total, onWritten }).catch((error: unknown) => {
      throw unpackError(error, from, way.driver)
    })
    // The guest has counted a file once for each of its names.
    progress(written, written)
    await untilEnd()
  })
}

function unpackError(error: unknown, from: string, driver: string): unknown {
  if (error instanceof VmError) return error
  if (error instanceof TarContentError) {
    return fileError(
      'EINVAL',
      from,
      `${from} can't be copied: ${error.message}`,
      undefined,
      'Leave that out of the copy.',
    )
  }
  if (error instanceof TarError) return new ProtocolError({ reason: error.message, cause: error })
  if (errorCode(error) === undefined) return error
  const native = nativeErrorOf(driver, error)
  return errnoError(error, native) ?? new HostError({ reason: native.message, native, cause: error })
}
