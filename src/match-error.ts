import type { VmError } from './errors.js'

type Handlers<E extends VmError> = { readonly [C in E['code']]: (error: Extract<E, { code: C }>) => unknown }
type Partly<E extends VmError> = Partial<Handlers<E>> & { readonly _: (error: E) => unknown }

/** What one of the handlers returns. */
type Returned<H> = { readonly [K in keyof H]: H[K] extends (error: never) => infer R ? R : never }[keyof H]

/** Makes a handler of a code that can't occur a compile error. */
type Only<H, C extends string> = Readonly<Record<Exclude<keyof H, C>, never>>

/**
 * A `switch` over an error's code, as an expression: one handler for each code of the union, or `_` for the rest.
 * A code that is forgotten does not compile.
 *
 * @returns what the handler of the error's code returns
 *
 * @example
 * ```ts
 * import { connect, matchError } from 'awaitvm'
 *
 * const server = await connect('embedded:').unwrap()
 * const found = await server.getVm('web-1')
 * if (found.isErr()) {
 *   const advice = matchError(found.error, {
 *     VM_NOT_FOUND: () => 'create it first',
 *     _: (error) => error.message,
 *   })
 *   console.log(advice)
 * }
 * await server.close()
 * ```
 */
export function matchError<E extends VmError, H extends Handlers<E>>(
  error: E,
  handlers: H & Only<H, E['code']>,
): Returned<H>
export function matchError<E extends VmError, H extends Partly<E>>(
  error: E,
  handlers: H & Only<H, E['code'] | '_'>,
): Returned<H>
export function matchError<E extends VmError>(
  error: E,
  handlers: Partial<Record<string, (error: E) => unknown>>,
): unknown {
  const handler = (Object.hasOwn(handlers, error.code) ? handlers[error.code] : undefined) ?? handlers['_']
  if (handler === undefined) throw new TypeError(`matchError has no handler for ${error.code}: add one, or "_"`)
  return handler(error)
}
