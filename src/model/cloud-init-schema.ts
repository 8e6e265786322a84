import * as v from 'valibot'
import type { CloudInit, CloudInitData, CloudInitFile, CloudInitUser } from './cloud-init.js'
import { flag, list, object, optional, plainText, type EntriesOf } from './schema.js'

/*
 * Much of this may be secret: a message that begins with "is" does not show the value.
 */

/** As much as one text may have. cloud-init has no limit of its own for this kind of seed. */
const maxTextLength = 2 ** 20
/** Far more than people write, and too few to keep a process busy. */
const maxValues = 100_000
const maxDepth = 32
const maxEntries = 1024

const isWellFormed = (value: string): boolean => !/\p{Surrogate}/u.test(value)

const secretText = v.pipe(
  v.string('is no text'),
  v.check((value) => value.length <= maxTextLength, `is longer than ${String(maxTextLength)} characters`),
  v.check(isWellFormed, 'is no well-formed Unicode'),
)

/** A line of plain text. */
const line = v.pipe(plainText, v.regex(/^[^\p{Cc}\p{Surrogate}]{1,1024}$/u, 'must be a line of 1 to 1024 characters'))

/** Labels of RFC 1123. */
const hostnameSchema = v.pipe(
  plainText,
  v.regex(
    /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/i,
    'must be a host name: letters, digits and "-", with or without a domain',
  ),
)

const unixName = v.pipe(
  plainText,
  v.regex(/^[a-z_][a-z0-9_.-]{0,31}$/i, 'must be a name of 1 to 32 letters, digits, "_", "." and "-"'),
)

const guestPath = v.pipe(line, v.startsWith('/', 'must be an absolute path in the guest'))

const publicKey = v.pipe(
  secretText,
  v.transform((key) => key.trim()),
  v.check((key) => !key.includes('PRIVATE KEY'), 'is a private key, and must be a public one'),
  v.regex(/^\P{Cc}{1,16384}$/u, 'is not a public key, which is one line, as in a .pub file'),
)

const userSchema = object({
  name: unixName,
  sudo: flag,
  sshKeys: optional(list(publicKey, maxEntries)),
  passwordHash: optional(
    v.pipe(secretText, v.regex(/^\$[\w./$=,+-]{8,512}$/, 'is no hash of a password: use `openssl passwd -6`')),
  ),
  shell: optional(guestPath),
  groups: optional(list(unixName, maxEntries)),
} satisfies EntriesOf<CloudInitUser>)

const isDefault = (input: unknown): input is 'default' => input === 'default'

const userOrDefault: v.GenericSchema<unknown, 'default' | CloudInitUser> = v.lazy((input) =>
  isDefault(input) ? v.literal('default') : userSchema,
)

const fileSchema = object({
  path: guestPath,
  content: secretText,
  encoding: optional(v.picklist(['utf8', 'base64'], 'must be "utf8" or "base64"')),
  owner: optional(v.pipe(plainText, v.regex(/^[\w.-]{1,32}(?::[\w.-]{1,32})?$/, 'must be USER or USER:GROUP'))),
  permissions: optional(v.pipe(plainText, v.regex(/^[0-7]{3,4}$/, 'must be three or four octal digits: "0644"'))),
} satisfies EntriesOf<CloudInitFile>)

/** The values of YAML that JSON has, too. The budget ends what is shared or cyclic. */
function isPlain(value: unknown, budget: { left: number }, depth = 0): boolean {
  budget.left -= 1
  if (budget.left < 0 || depth > maxDepth) return false
  if (value === null || value === undefined || typeof value === 'boolean') return true
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value === 'string') return value.length <= maxTextLength && isWellFormed(value)
  if (typeof value !== 'object') return false
  if (Array.isArray(value)) return value.every((entry) => entry !== undefined && isPlain(entry, budget, depth + 1))
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== null && prototype !== Object.prototype) return false
  return Object.entries(value).every(([key, entry]) => isWellFormed(key) && isPlain(entry, budget, depth + 1))
}

/** An object of plain values; the copy has no `undefined` in it. */
const plainObject = v.pipe(
  v.custom<Readonly<Record<string, unknown>>>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    'is no object',
  ),
  v.check(
    (value) => isPlain(value, { left: maxValues }),
    `is not made of text, numbers, booleans, null, arrays and objects alone, at most ${String(maxDepth)} levels deep and ${String(maxValues)} in all`,
  ),
  v.transform(copyOf),
)

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null

function copyOf(value: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const copy: unknown = JSON.parse(JSON.stringify(value))
  return isRecord(copy) ? copy : {}
}

/** The first lines by which cloud-init tells what it is given (`INCLUSION_TYPES_MAP` in `cloudinit/handlers/__init__.py`). */
const firstLines = /^(?:#cloud-config|#cloud-boothook|#part-handler|#include|#!|## template: jinja)/

const userDataText = v.pipe(
  secretText,
  v.regex(
    firstLines,
    'is not what cloud-init knows: text has to begin with "#cloud-config", "#!", "#cloud-boothook", "#include", "#part-handler" or "## template: jinja"',
  ),
)

const textOr = (text: v.GenericSchema<unknown, string>): v.GenericSchema<unknown, CloudInitData> =>
  v.lazy((input) => (typeof input === 'string' ? text : plainObject))

const oneData = textOr(userDataText)
const dataSchema: v.GenericSchema<unknown, CloudInitData | CloudInitData[]> = v.lazy((input) =>
  Array.isArray(input) ? list(oneData, maxEntries) : oneData,
)

const command = v.lazy((input) => (typeof input === 'string' ? secretText : list(secretText, maxEntries)))

const reserved = ['instance-id', 'local-hostname'] as const

/** The settings of cloud-init. */
export const cloudInitSchema = object({
  hostname: optional(hostnameSchema),
  users: optional(list(userOrDefault, maxEntries)),
  packages: optional(list(line, maxEntries)),
  packageUpdate: flag,
  packageUpgrade: flag,
  files: optional(list(fileSchema, maxEntries)),
  runCommands: optional(list(command, maxEntries)),
  timezone: optional(line),
  locale: optional(line),
  userData: optional(dataSchema),
  vendorData: optional(dataSchema),
  metaData: optional(
    v.pipe(
      plainObject,
      v.check(
        (value) => !reserved.some((name) => Object.hasOwn(value, name)),
        `is not to have ${reserved.join(' and ')}: awaitvm gives an instance id to each VM, and "hostname" is a setting of its own`,
      ),
    ),
  ),
  networkConfig: optional(textOr(secretText)),
} satisfies EntriesOf<CloudInit>)

/** An edit may take the seed away. */
export const cloudInitEditSchema = v.lazy((input) => (input === false ? v.literal(false) : cloudInitSchema))
