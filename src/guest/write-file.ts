import { randomBytes } from 'node:crypto'
import { receiveScript } from './file-scripts.js'
import { iterableOf } from './iterable-of.js'
import { isMuch } from './guest-files.js'
import type { InGuest } from './run-script.js'
import { sendToDraft } from './send-to-draft.js'

/** What a file in the guest becomes. */
export interface NewFile {
  readonly path: string
  readonly content: AsyncIterable<Uint8Array>
  /** The size of the content, if it is known. */
  readonly size?: number | undefined
  /** The permissions, if it is new; those of the guest's umask if absent. */
  readonly mode?: number | undefined
  /** Its time; now if absent. */
  readonly mtime?: Date | undefined
  readonly owner?: string | undefined
  readonly append?: boolean | undefined
}

/** Writes a file, under another name in the same folder until it is complete. */
export async function writeNewFile(guest: InGuest, file: NewFile): Promise<void> {
  const mark = randomBytes(16).toString('hex')
  const args = [
    mark,
    file.mode === undefined ? '' : file.mode.toString(8),
    touchTime(file.mtime),
    file.owner ?? '',
    file.append === true ? 'append' : '',
  ]
  await sendToDraft(
    guest,
    file.path,
    { text: receiveScript, args, isBulk: isMuch(file.size) },
    withEnd(file.content, mark),
  )
}

/** The content, and at its end the mark and its size, by which the guest knows that it has all of it. */
function withEnd(content: AsyncIterable<Uint8Array>, mark: string): AsyncIterable<Uint8Array> {
  const source = content[Symbol.asyncIterator]()
  let size = 0
  let isAtEnd = false
  return iterableOf({
    async next() {
      if (isAtEnd) return { done: true, value: undefined }
      const next = await source.next()
      if (next.done !== true) {
        size += next.value.byteLength
        return next
      }
      isAtEnd = true
      return { done: false, value: Buffer.from(`${mark}${String(size).padStart(20)}`) }
    },
    leave: () => source.return?.(),
  })
}

/** The time as touch(1) takes it; nothing for one that has no four digits for the year. */
function touchTime(time: Date | undefined): string {
  const digits = time?.toISOString().replace(/\D/g, '') ?? ''
  return /^\d{17}$/.test(digits) ? `${digits.slice(0, 12)}.${digits.slice(12, 14)}` : ''
}
