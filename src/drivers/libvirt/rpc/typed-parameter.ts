import { ProtocolError } from '../../../errors.js'
import { bool, double, hyper, int, string, struct, uhyper, uint, type Codec } from './xdr.js'

/** The types of a value, by the number that stands before it. */
const codecs = { 1: int, 2: uint, 3: hyper, 4: uhyper, 5: double, 6: bool, 7: string } as const

type TypeNumber = keyof typeof codecs

/** A value whose type is sent with it. */
type TypedValue = {
  readonly [N in TypeNumber]: {
    readonly type: N
    readonly value: (typeof codecs)[N] extends Codec<infer T> ? T : never
  }
}[TypeNumber]

/** A named value: libvirt's figures and the options of a migration are lists of them. */
export interface TypedParameter {
  /** `'state.state'` */
  readonly field: string
  readonly value: TypedValue
}

const isTypeNumber = (type: number): type is TypeNumber => Object.hasOwn(codecs, type)

const typedValue: Codec<TypedValue> = {
  minBytes: 8,
  write: (writer, { type, value }) => {
    writer.uint(type)
    // The compiler can't relate the two members of a union.
    const { write } = codecs[type] as Codec<unknown>
    write(writer, value)
  },
  read: (reader) => {
    const type = reader.uint()
    if (!isTypeNumber(type)) {
      throw new ProtocolError({ reason: `libvirt sent a value of the unknown type ${String(type)}` })
    }
    return { type, value: codecs[type].read(reader) } as TypedValue
  },
}

export const typedParameter: Codec<TypedParameter> = struct({ field: string, value: typedValue })

/** The parameter as a whole number; absent if no parameter has that name. */
export function numberIn(parameters: readonly TypedParameter[], field: string): number | undefined {
  const found = parameters.find((parameter) => parameter.field === field)?.value.value
  return typeof found === 'number' || typeof found === 'bigint' ? Number(found) : undefined
}
