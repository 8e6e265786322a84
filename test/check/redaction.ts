import { homedir, hostname, userInfo } from 'node:os'

/** Whatever tells of a person or a machine, by what stands in the report in its place; the order matters. */
const patterns: readonly (readonly [RegExp, string])[] = [
  [/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi, 'ID'],
  // A licence key of Parallels.
  [/\b[0-9A-Z]{6}(?:-[0-9A-Z]{6}){4}\b/g, 'KEY'],
  [/\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b/gi, 'MAC'],
  [/\b\d{1,3}(?:\.\d{1,3}){3}\b/g, 'ADDRESS'],
  [/"\/[^"]*"/g, '"PATH"'],
  // From the first folder on: what is in it may have a name of its own.
  [/(?<![\w:/.])\/(?:Users|Volumes|home|root|private|var|tmp|srv|vz|opt|mnt|media|work)\b(?:\/[^\s"':,)]*)?/g, 'PATH'],
]

/** Takes out of a text what is nobody's business but the owner's: names, paths, addresses, ids. */
export class Redaction {
  readonly #literals: readonly (readonly [string, string])[]

  /** `names` by what is told in their place. */
  constructor(names: ReadonlyMap<string, string>) {
    const all = new Map([...names, [homedir(), 'PATH'], [hostname(), 'HOST'], [userInfo().username, 'USER']])
    // What is a part of something longer comes after it; a name of two letters is any word, and nobody's in particular.
    this.#literals = [...all].filter(([name]) => name.length > 2).sort(([a], [b]) => b.length - a.length)
  }

  apply(text: string): string {
    let redacted = text
    for (const [name, word] of this.#literals) {
      // A short name is found within other words, too.
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
