import { homedir, hostname, userInfo } from 'node:os'

/** Private data by the word that replaces it in the report. The order matters. */
const patterns: readonly (readonly [RegExp, string])[] = [
  [/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi, 'ID'],
  // A licence key of Parallels.
  [/\b[0-9A-Z]{6}(?:-[0-9A-Z]{6}){4}\b/g, 'KEY'],
  [/\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b/gi, 'MAC'],
  [/\b\d{1,3}(?:\.\d{1,3}){3}\b/g, 'ADDRESS'],
  [/"\/[^"]*"/g, '"PATH"'],
  // The whole path: its parts may be private names.
  [/(?<![\w:/.])\/(?:Users|Volumes|home|root|private|var|tmp|srv|vz|opt|mnt|media|work)\b(?:\/[^\s"':,)]*)?/g, 'PATH'],
]

/** Removes private data from a text: names, paths, addresses, ids. */
export class Redaction {
  readonly #literals: readonly (readonly [string, string])[]

  /** `names` with the word that replaces each. */
  constructor(names: ReadonlyMap<string, string>) {
    const all = new Map([...names, [homedir(), 'PATH'], [hostname(), 'HOST'], [userInfo().username, 'USER']])
    // Longer names come first, since a name may be part of another. Names of two letters are kept: they occur in any text.
    this.#literals = [...all].filter(([name]) => name.length > 2).sort(([a], [b]) => b.length - a.length)
  }

  apply(text: string): string {
    let redacted = text
    for (const [name, word] of this.#literals) {
      // A short name may be part of another word.
      const pattern = new RegExp(
        `(?<![\\p{L}\\p{N}])${name.replace(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`)}(?![\\p{L}\\p{N}])`,
        'gu',
      )
      redacted = redacted.replace(pattern, word)
    }
    for (const [pattern, word] of patterns) redacted = redacted.replace(pattern, word)
    return redacted
  }
}
