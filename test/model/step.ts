import fc from 'fast-check'
import { movements } from './model-vm.js'

/** One call of a random step: the operation, the VM, and what else is done to its job. */
export interface Call {
  readonly what: (typeof kinds)[number]
  /** Chooses a VM and a snapshot among the existing ones. */
  readonly vm: number
  readonly snapshot: number
  readonly then: (typeof handlings)[number]
  /** The number of turns after which it is cancelled or aborted. */
  readonly turns: number
}

/** What goes wrong with the calls of a step, on a host that can simulate it. */
export interface Trouble {
  readonly what: (typeof troubles)[number]
  /** The index of the call that it meets. */
  readonly call: number
}

/** Calls that are made at once, and all awaited. */
export type Step =
  | { readonly kind: 'calls'; readonly calls: readonly Call[]; readonly trouble: Trouble | undefined }
  | { readonly kind: 'happen'; readonly vm: number; readonly what: 'crash' | 'powerOff' }
  | { readonly kind: 'list' | 'reconnect' }

const kinds = [
  ...movements,
  'kill',
  'look',
  'refresh',
  'create',
  'describe',
  'label',
  'own',
  'resize',
  'grow',
  'rename',
  'clone',
  'delete',
  'snapshot',
  'switch',
  'drop',
] as const
const handlings = ['await', 'await', 'await', 'cancel', 'abort', 'waitBriefly', 'watch'] as const
const troubles = [
  'error',
  'hang',
  'slow',
  'refuseCancel',
  'lostDone',
  'lostUndone',
  'lostAndBack',
  'lostBefore',
  'interference',
  'crash',
] as const

const small = fc.nat({ max: 9 })
const call: fc.Arbitrary<Call> = fc.record({
  what: fc.constantFrom(...kinds),
  vm: small,
  snapshot: small,
  then: fc.constantFrom(...handlings),
  turns: fc.nat({ max: 12 }),
})
const trouble = fc.record({ what: fc.constantFrom(...troubles), call: fc.nat({ max: 3 }) })

const calls = (maxLength: number): fc.Arbitrary<Step> =>
  fc.record({
    kind: fc.constant('calls' as const),
    calls: fc.array(call, { minLength: 1, maxLength }),
    trouble: fc.option(trouble, { freq: 4, nil: undefined }),
  })

/** Random steps. Most make one call at a time, so that they go through many states. */
export const steps = (maxLength: number): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      { weight: 12, arbitrary: calls(1) },
      { weight: 4, arbitrary: calls(4) },
      {
        weight: 1,
        arbitrary: fc.record({
          kind: fc.constant('happen' as const),
          vm: small,
          what: fc.constantFrom('crash' as const, 'powerOff' as const),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('list' as const, 'reconnect' as const) }) },
    ),
    { minLength: 1, maxLength, size: 'max' },
  )
