import * as v from 'valibot'

/**
 * What distinguishes a QEMU beyond the hardware of its VM, which may be edited while it runs. Saved memory can only be loaded into
 * a QEMU of the same layout.
 */
export const layoutSchema = v.strictObject({
  /** The memory that QEMU was started with, in MiB. */
  memoryMiB: v.number(),
  hasBalloon: v.boolean(),
})

export type Layout = Readonly<v.InferOutput<typeof layoutSchema>>

interface Memory {
  readonly memoryMiB: number
}

/** The layout of a QEMU that starts without saved memory. */
export const newLayout = ({ memoryMiB }: Memory): Layout => ({ memoryMiB, hasBalloon: true })

/** The layout of a QEMU whose record has none, since an early awaitvm started it. */
export const firstLayout = ({ memoryMiB }: Memory): Layout => ({ memoryMiB, hasBalloon: false })
