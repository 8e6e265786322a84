import { randomBytes } from 'node:crypto'
import { stat } from 'node:fs/promises'
import type { DriverInputs } from '../driver/driver.js'
import type { Task } from '../driver/task.js'
import { CopyLimit } from '../files/copy-limit.js'
import { openSource } from '../files/open-source.js'
import { measureFolder, packFolder } from '../files/pack-folder.js'
import { tarEnd, tarText } from '../files/tar-header.js'
import { quoteWords } from '../ssh/quote.js'
import { receiveFolderScript } from './file-scripts.js'
import type { InGuest } from './run-script.js'
import { sendToDraft } from './send-to-draft.js'
import { writeNewFile } from './write-file.js'

const chunkBytes = 256 * 1024

/** Copies a file or a folder into a guest. */
export async function copyIn(guest: InGuest, task: Task, input: DriverInputs['guest.copyIn']): Promise<void> {
  const isFolder = await stat(input.from).then(
    (found) => found.isDirectory(),
    // What can't be looked at is refused as a file that can't be read.
    () => false,
  )
  await (isFolder ? copyFolderIn(guest, task, input) : copyFileIn(guest, task, input))
}

async function copyFileIn(
  guest: InGuest,
  task: Task,
  { from, to, owner }: DriverInputs['guest.copyIn'],
): Promise<void> {
  const { file, size, mode, mtime } = await openSource(from)
  const limit = new CopyLimit(size)
  async function* content(): AsyncGenerator<Buffer> {
    for (;;) {
      const length = Math.min(chunkBytes, limit.left)
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, limit.done)
      if (bytesRead === 0) return
      limit.add(bytesRead)
      yield buffer.subarray(0, bytesRead)
      progress(task, limit.done, limit.total)
    }
  }
  try {
    await writeNewFile(guest, { path: to, content: content(), size, mode, mtime, owner })
  } finally {
    await file.close()
  }
}

async function copyFolderIn(
  guest: InGuest,
  task: Task,
  { from, to, owner }: DriverInputs['guest.copyIn'],
): Promise<void> {
  const { driver } = guest.way
  const total = await measureFolder(from, driver)
  const last = `end-${randomBytes(16).toString('hex')}`
  async function* archive(): AsyncGenerator<Buffer> {
    const packed = packFolder(from, {
      as: 'content',
      driver,
      onPacked: (done) => {
        progress(task, done, total)
      },
    })
    const { count, lineFeeds, times } = yield* packed
    const touches = times.map(({ path, mtime }) => `${quoteWords(['touch', '-hcmd', `@${mtime}`, path])}\n`)
    yield tarText({ path: `${last}.times`, text: touches.join('') })
    // With the last two.
    yield tarText({ path: last, text: `${count + 2} ${lineFeeds}\n` })
    yield tarEnd()
  }
  const path = to.replace(/(?<=.)\/+$/, '')
  await sendToDraft(guest, path, { text: receiveFolderScript, args: [last, owner ?? ''], isBulk: true }, archive())
}

/** A file may grow while it is copied. */
function progress(task: Task, done: number, total: number): void {
  task.progress({ phase: 'copying', done, total: Math.max(done, total), unit: 'bytes' })
}
