import { readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { ReadmePart } from '../support/readme-part.js'

export const recipes = join(import.meta.dirname, '../../recipes')

/** The files that the README of the recipes shows. */
export const shownFiles = readdirSync(recipes).filter((name) => ['.ts', '.js'].includes(extname(name)))

/** The part of the README that shows the file. */
export const partOf = (file: string): ReadmePart => new ReadmePart(file, 'recipes/README.md')

/** The file as the README has to show it. */
export const markdownOf = (file: string): string =>
  `[\`${file}\`](${file}):\n\n\`\`\`${extname(file).slice(1)}\n${readFileSync(join(recipes, file), 'utf8')}\`\`\``

// `npx tsx test/recipes/shown-programs.ts`, after a recipe changed.
if (process.argv[1] === import.meta.filename) {
  for (const file of shownFiles) await partOf(file).write(markdownOf(file))
}
