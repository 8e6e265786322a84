import { Failure, texts } from './messages.js'
import type { Dispatcher, Registry } from './dispatcher.js'
import type { Machine } from './machine.js'
import { terminal } from './terminal.js'

/** One command of prlctl, as it was called. */
export interface Call {
  readonly dispatcher: Dispatcher
  /** The VM that it names, as given. */
  readonly id: string
  readonly options: ReadonlyMap<string, string[]>
  /** What stands behind the options. */
  readonly rest: readonly string[]
  /** Whether a signal has asked it to stop; where it heeds none, it never has. */
  readonly isCanceled: () => boolean
}

export interface Command {
  /** Its options, by all their names: whether they have a value. */
  readonly options?: Readonly<Record<string, boolean>>
  readonly onlyOn?: 'desktop' | 'virtuozzo'
  /** Whether it names a VM. */
  readonly takesId: 'always' | 'maybe' | 'never'
  /** What is behind the name is not for prlctl. */
  readonly takesRest?: boolean
  readonly heedsSignals?: boolean
  /** Answers the exit code, where it is not 0. */
  run(call: Call): Promise<number | void> | number | void
}

/** Splits the arguments as prlctl does. Throws what it says of wrong ones. */
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

/** Throws where the machine is on its way, or being cloned. */
export function requireAtRest(machine: Machine): void {
  if (machine.lockedUntil > Date.now()) throw new Failure(texts.lockedClone())
  if (machine.transition !== undefined) throw new Failure(texts.wrongState(machine.name, machine.state))
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Waits on behalf of a client; what is under way goes on without it. */
export async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) {
    await pause(5)
    if (terminal().isGone()) throw new Failure('')
  }
}

/** Errors of the action are told as "Failed to ...: ". */
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
