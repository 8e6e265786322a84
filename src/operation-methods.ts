import type { ConsoleStream } from './console-stream.js'
import type { Job } from './job/job.js'
import type { OperationErrors } from './operation-errors.js'
import type { OperationCode, operations } from './operations.js'

/**
 * The methods that a facade needs for the operations of the table whose codes begin with its name: one for each, which returns a
 * job that ends with the errors of that operation. Only a console is a stream instead.
 */
export type OperationMethods<Facade extends 'server' | 'images' | 'vm' | 'guest' | 'native'> = {
  readonly [
    O in Extract<OperationCode, `${Facade}.${string}`> as O extends `${Facade}.${infer Method}` ? Method : never
  ]: (
    ...parameters: never[]
  ) => (typeof operations)[O] extends { readonly answers: 'console' } ? ConsoleStream : Job<unknown, OperationErrors<O>>
}
