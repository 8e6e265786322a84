import { readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { ReadmePart } from '../support/readme-part.js'

export const programs = join(import.meta.dirname, 'programs')

/** The files that the README of the recipes shows. */
export const shownFiles = readdirSync(programs).filter((name) => ['.ts', '.js'].includes(extname(name)))

/** The part of the README that shows the file. */
export const partOf = (file: string): ReadmePart => new ReadmePart(file, 'test/recipes/README.md')

/** The file as the README has to show it. */
export const markdownOf = (file: string): string =>
  `[\`${file}\`](programs/${file}):\n\n\`\`\`${extname(file).slice(1)}\n${readFileSync(join(programs, file), 'utf8')}\`\`\``

// `npx tsx test/recipes/shown-programs.ts`, after a recipe changed.
if (process.argv[1] === import.meta.filename) {
  for (const file of shownFiles) await partOf(file).write(markdownOf(file))
}
