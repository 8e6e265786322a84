import { matchError, ResourceBusyError, VmNotFoundError } from 'awaitvm'
import { expect, test } from 'vitest'

type Either = VmNotFoundError | ResourceBusyError

const notFound = new VmNotFoundError({ reason: 'gone' }) as Either
const busy = new ResourceBusyError({ reason: 'locked', pid: 7 }) as Either

test('calls the handler of the code, with the error', () => {
  const describe = (error: Either) =>
    matchError(error, { VM_NOT_FOUND: ({ code }) => code, RESOURCE_BUSY: ({ pid }) => String(pid) })
  expect([describe(notFound), describe(busy)]).toEqual(['VM_NOT_FOUND', '7'])
})

test('calls "_" for the rest', () => {
  const describe = (error: Either) => matchError(error, { VM_NOT_FOUND: () => 'none', _: ({ reason }) => reason })
  expect([describe(notFound), describe(busy)]).toEqual(['none', 'locked'])
})

test.for([{}, { RESOURCE_BUSY: undefined }])('without a handler, throws what to do: %o', (handlers) => {
  expect(() => matchError(busy, handlers as never)).toThrowErrorMatchingInlineSnapshot(
    `[TypeError: matchError has no handler for RESOURCE_BUSY: add one, or "_"]`,
  )
})

test('takes no handler from the prototype, and "_" for one that is undefined', () => {
  const odd = Object.assign(new ResourceBusyError({ reason: 'x' }), { code: 'toString' }) as never
  expect(matchError(odd, { _: () => 'rest' } as never)).toBe('rest')
  expect(matchError(busy, { RESOURCE_BUSY: undefined, _: () => 'rest' } as never)).toBe('rest')
})
