import { Failure, texts } from './messages.js'
import type { Dispatcher, Registry } from './dispatcher.js'
import type { Machine } from './machine.js'
import { terminal } from './terminal.js'

/** A call of prlctl. */
export interface Call {
  readonly dispatcher: Dispatcher
  /** The VM, by the name or id of the call. */
  readonly id: string
  readonly options: ReadonlyMap<string, string[]>
  /** The arguments after the options. */
  readonly rest: readonly string[]
  /** True once a signal asked it to stop, unless it ignores signals. */
  readonly isCanceled: () => boolean
}

export interface Command {
  /** By each name of an option, whether it has a value. */
  readonly options?: Readonly<Record<string, boolean>>
  readonly onlyOn?: 'desktop' | 'virtuozzo'
  /** True if the first argument is a VM. */
  readonly takesId: 'always' | 'maybe' | 'never'
  /** True if the arguments after the name are not for prlctl. */
  readonly takesRest?: boolean
  readonly heedsSignals?: boolean
  /** Answers the exit code; 0 if absent. */
  run(call: Call): Promise<number | void> | number | void
}

/** Parses the arguments as prlctl does. Throws prlctl's error for wrong ones. */
export function parse(
  { options = {}, takesId, takesRest }: Command,
  words: readonly string[],
): Pick<Call, 'id' | 'options' | 'rest'> {
  const found = new Map<string, string[]>()
  const others: string[] = []
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index]!
    if (takesRest === true && others.length > 0) {
      others.push(word)
    } else if (word.startsWith('-')) {
      const hasValue = options[word]
      if (hasValue === undefined) throw new Failure(`Unrecognized option: ${word}\n`, 1)
      found.set(word, [...(found.get(word) ?? []), hasValue ? (words[(index += 1)] ?? '') : ''])
    } else {
      others.push(word)
    }
  }
  const [id = '', ...rest] = takesId === 'never' ? ['', ...others] : others
  if (takesId === 'always' && id === '') throw new Failure('Invalid usage\n', 1)
  return { id, options: found, rest }
}

/** A uuid with or without braces goes before a name. */
export function find(registry: Registry, id: string): Machine | undefined {
  const uuid = id.replace(/^\{(.*)\}$/, '$1').toLowerCase()
  const machines = Object.values(registry.machines)
  return machines.find((machine) => machine.id === uuid) ?? machines.find(({ name }) => name === id)
}

export function lookUp(registry: Registry, id: string): Machine {
  const machine = find(registry, id)
  if (machine === undefined) throw new Failure(`Failed to get VM config: ${texts.notFound()}`)
  return machine
}

/** Throws if the machine is changing its state, or being cloned. */
export function requireAtRest(machine: Machine): void {
  if (machine.lockedUntil > Date.now()) throw new Failure(texts.lockedClone())
  if (machine.transition !== undefined) throw new Failure(texts.wrongState(machine.name, machine.state))
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Waits for a client; the operation goes on without the client. */
export async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) {
    await pause(5)
    if (terminal().isGone()) throw new Failure('')
  }
}

/** Prints errors of the action as "Failed to ...: ". */
export function failing<T>(what: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    if (error instanceof Failure && !error.message.startsWith('Failed to')) {
      throw new Failure(`Failed to ${what}: ${error.message}`, error.exitCode)
    }
    throw error
  }
}
