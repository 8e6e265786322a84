import { QmpConnectionError } from '../protocol/qmp-errors.js'

/** Steps that can be taken back, the last one first, until all of them have been made. */
export class UndoStack {
  readonly #undo: (() => Promise<void>)[] = []

  /** Notes what is to be done should something fail from now on. */
  add(undo: () => Promise<void>): void {
    this.#undo.push(undo)
  }

  /** Makes a step, and notes how it is taken back. */
  async step(make: () => Promise<void>, undo: () => Promise<void>): Promise<void> {
    await make()
    this.#undo.push(undo)
  }

  /** What can't be taken back is no reason to leave the rest. */
  async takeBack(): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) {
      await undo().catch((error: unknown) => {
        // In a QEMU that is gone, there is nothing to take back.
        if (error instanceof QmpConnectionError) return
        process.emitWarning(`A part of an edit can't be taken back: ${String(error)}`, 'AwaitvmWarning')
      })
    }
  }
}
