import { QmpConnectionError } from '../protocol/qmp-errors.js'

/** Steps that can be undone, the last one first, if a later step fails. */
export class UndoStack {
  readonly #undo: (() => Promise<void>)[] = []

  /** Registers what undoes a step that is about to be made. */
  add(undo: () => Promise<void>): void {
    this.#undo.push(undo)
  }

  /** Makes a step, and registers what undoes it. */
  async step(make: () => Promise<void>, undo: () => Promise<void>): Promise<void> {
    await make()
    this.#undo.push(undo)
  }

  /** Undoes all steps. If one can't be undone, the others are. */
  async takeBack(): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) {
      await undo().catch((error: unknown) => {
        // In a QEMU that is gone, there is nothing to undo.
        if (error instanceof QmpConnectionError) return
        process.emitWarning(`A part of an edit can't be undone: ${String(error)}`, 'AwaitvmWarning')
      })
    }
  }
}
