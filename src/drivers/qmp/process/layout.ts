import * as v from 'valibot'

/**
 * What a QEMU has that can't be told from the hardware of its VM, which may be edited while it runs. Saved memory can only be
 * loaded into a QEMU that has the same.
 */
export const layoutSchema = v.strictObject({
  /** The memory that the guest has found when it was started, in MiB. */
  memoryMiB: v.number(),
  hasBalloon: v.boolean(),
})

export type Layout = Readonly<v.InferOutput<typeof layoutSchema>>

interface Memory {
  readonly memoryMiB: number
}

/** Of a QEMU that starts afresh. */
export const newLayout = ({ memoryMiB }: Memory): Layout => ({ memoryMiB, hasBalloon: true })

/** Of a QEMU of which no layout was written down, since there were no others then. */
export const firstLayout = ({ memoryMiB }: Memory): Layout => ({ memoryMiB, hasBalloon: false })
