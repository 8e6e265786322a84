import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import ts from 'typescript'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')

interface Example {
  readonly file: string
  readonly line: number
  readonly code: string
}

/** The TypeScript code blocks of a text; in a comment, each line begins with " * ". */
function examplesIn(path: string): Example[] {
  const text = readFileSync(path, 'utf8')
  const examples: Example[] = []
  for (const match of text.matchAll(/^([ *]*)```ts\n([\s\S]*?)^\1```$/gm)) {
    const [, margin = '', block = ''] = match
    const code = block
      .split('\n')
      .map((line) => (line.startsWith(margin) ? line.slice(margin.length) : line.replace(/^[ *]+$/, '')))
      .join('\n')
    examples.push({
      file: relative(root, path),
      line: text.slice(0, match.index).split('\n').length + 1,
      code: `${code}\nexport {}\n`,
    })
  }
  return examples
}

const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => join(root, 'src', name))

test('every example in the README and in the comments of the public API compiles', () => {
  const examples = [join(root, 'README.md'), ...sources].flatMap(examplesIn)
  expect(examples.length).toBeGreaterThan(10)

  const files = new Map(
    examples.map((example) => [
      join(root, 'test', `${example.file.replaceAll('/', '-')}-${String(example.line)}.mts`),
      example,
    ]),
  )
  const { options } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(join(root, 'tsconfig.json'), (path) => readFileSync(path, 'utf8')).config,
    ts.sys,
    root,
  )
  const host = ts.createCompilerHost(options)
  const { getSourceFile, fileExists, readFile } = host
  host.fileExists = (path) => files.has(path) || fileExists(path)
  host.readFile = (path) => files.get(path)?.code ?? readFile(path)
  host.getSourceFile = (path, ...rest) => {
    const example = files.get(path)
    return example === undefined
      ? getSourceFile(path, ...rest)
      : ts.createSourceFile(path, example.code, ts.ScriptTarget.ES2022)
  }
  const program = ts.createProgram([...files.keys()], options, host)
  const problems = [...files].flatMap(([path, { file, line }]) => {
    const source = program.getSourceFile(path)
    const diagnostics = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
    return diagnostics.map(({ messageText, start = 0 }) => {
      const offset = source?.getLineAndCharacterOfPosition(start).line ?? 0
      return `${file}:${String(line + offset)} ${ts.flattenDiagnosticMessageText(messageText, ' ')}`
    })
  })
  expect(problems).toEqual([])
})
