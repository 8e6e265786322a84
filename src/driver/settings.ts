import { NotSupportedError } from '../errors.js'
import type { VmChanges, VmSpec } from '../model/vm-spec.js'

/** Why a host refuses a setting, and which of its values. */
export interface UnsupportedOptions {
  /** Why the host does not have the setting, as a clause: `the emulated machine has no network`. */
  readonly reason: string
  /** What to do instead, as sentences. */
  readonly hint: string
  /** The values that are refused; all of them if absent. */
  readonly values?: readonly unknown[] | undefined
  /** Whether an empty list is refused too, because the host has a default that is not empty. */
  readonly refusesEmptyList?: boolean | undefined
}

/** A setting that a host refuses, or refuses some values of. Made by {@link unsupported}. */
export class Unsupported {
  /** Why the host does not have the setting, as a clause. */
  readonly reason: string
  /** What to do instead, as sentences. */
  readonly hint: string
  /** The values that are refused; all of them if absent. */
  readonly values: readonly unknown[] | undefined
  /** Whether an empty list is refused too. */
  readonly refusesEmptyList: boolean

  /** @internal */
  constructor({ reason, hint, values, refusesEmptyList = false }: UnsupportedOptions) {
    this.reason = reason
    this.hint = hint
    this.values = values
    this.refusesEmptyList = refusesEmptyList
  }
}

/** States in a {@link HandledSettings} table that the host refuses the setting, and why. */
export const unsupported = (options: UnsupportedOptions): Unsupported => new Unsupported(options)

/** The keys of each type of a union. */
export type KeysOf<T> = T extends unknown ? keyof T : never
/** What a key has in the types of a union that have it. */
export type ValueOf<T, K extends PropertyKey> = T extends Readonly<Partial<Record<K, infer V>>> ? V : never

/** What a host does with one setting. See {@link HandledSettings}. */
export type Handled<T> =
  | Unsupported
  | ([NonNullable<T>] extends [readonly (infer E)[]]
      ? Handled<E>
      : [NonNullable<T>] extends [object]
        ? string extends keyof NonNullable<T>
          ? true
          : { readonly [K in KeysOf<NonNullable<T>>]: Handled<ValueOf<NonNullable<T>, K>> }
        : true)

/**
 * What a host does with each setting of a VM: `true` if it honours the setting, else {@link unsupported} with the reason. An
 * object or a list of objects has a nested table. If a setting is added to the model, the table of every host that does not name
 * it is a compile error.
 *
 * @example
 * ```ts
 * import { unsupported, type HandledSettings } from 'awaitvm/driver'
 *
 * const noFloppies = unsupported({ reason: 'the machine has no floppy drive', hint: 'Use a CD-ROM image.' })
 * const disks: HandledSettings['disks'] = { id: true, image: true, sha256: true, sha512: true, sizeMiB: true, bus: true }
 * const floppies: HandledSettings['floppies'] = noFloppies
 * ```
 */
export type HandledSettings = { readonly [K in KeysOf<VmSpec | VmChanges>]: Handled<ValueOf<VmSpec | VmChanges, K>> }

/**
 * Throws if a spec or an edit has a setting that the host does not honour. A driver calls it before it creates or edits a VM.
 *
 * @param of the name of the driver, and whether the settings are a spec or the changes of an edit
 * @throws NotSupportedError whose `path` names the setting: `spec.disks[0].image`
 */
export function refuseSettings(
  settings: VmSpec | VmChanges,
  handled: HandledSettings,
  of: { readonly driver: string; readonly root: 'spec' | 'changes' },
): void {
  refuseIn(settings, handled, { driver: of.driver, path: of.root, setting: 'spec' })
}

interface Place {
  readonly driver: string
  /** `changes.disks[0].image` */
  readonly path: string
  /** `spec.disks.image` */
  readonly setting: string
}

type Table = true | Unsupported | { readonly [setting: string]: Table }

function refuseIn(value: unknown, handled: Table, place: Place): void {
  if (handled === true || value === undefined) return
  if (Array.isArray(value)) refuseInList(value, handled, place)
  else if (handled instanceof Unsupported) {
    if (handled.values === undefined || handled.values.includes(value)) throw refusal(place, handled)
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, part] of Object.entries(value)) {
      const table = Object.hasOwn(handled, key) ? handled[key] : unknownTo(place.driver)
      if (table === true || table === undefined || part === undefined) continue
      refuseIn(part, table, { ...place, path: `${place.path}.${key}`, setting: `${place.setting}.${key}` })
    }
  }
}

function refuseInList(list: readonly unknown[], handled: Exclude<Table, true>, place: Place): void {
  if (handled instanceof Unsupported && handled.values === undefined) {
    if (list.length > 0 || handled.refusesEmptyList) throw refusal(place, handled)
    return
  }
  for (const [index, entry] of list.entries()) {
    refuseIn(entry, handled, { ...place, path: `${place.path}[${String(index)}]` })
  }
}

const unknownTo = (driver: string): Unsupported =>
  unsupported({
    reason: `the driver ${JSON.stringify(driver)} does not know it`,
    hint: 'Leave it out.',
    refusesEmptyList: true,
  })

const refusal = ({ path, setting }: Place, { reason, hint }: Unsupported): NotSupportedError =>
  new NotSupportedError({ capability: setting, path, reason: `${path} is not supported: ${reason}`, hint })
