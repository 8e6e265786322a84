import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import * as api from 'awaitvm'
import ts from 'typescript'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')

const filesUnder = (folder: string, extension: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(extension))
    .map((name) => join(folder, name))

/** Every chapter of the repository, by its path in it. */
const chapters = ['README.md', ...['benchmarks', 'src', 'test'].flatMap((folder) => filesUnder(folder, '.md'))]
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

interface Example {
  readonly file: string
  readonly line: number
  readonly code: string
  /** The name of its file, if its first line is a comment with that; others of the chapter can import it. */
  readonly name: string
}

/** The TypeScript code blocks of a text; in a comment, each line begins with " * ". */
function examplesIn(path: string): Example[] {
  const text = read(path)
  const examples: Example[] = []
  for (const match of text.matchAll(/^([ *]*)```ts\n([\s\S]*?)^\1```$/gm)) {
    const [, margin = '', block = ''] = match
    const code = block
      .split('\n')
      .map((line) => (line.startsWith(margin) ? line.slice(margin.length) : line.replace(/^[ *]+$/, '')))
      .join('\n')
    const line = text.slice(0, match.index).split('\n').length + 1
    const name =
      /^\/\/ ([\w.-]+\.ts)$/m.exec(code.split('\n', 1)[0] ?? '')?.[1] ?? `${basename(path)}-${String(line)}.mts`
    examples.push({ file: path, line, code: `${code}\nexport {}\n`, name })
  }
  return examples
}

test('every example in a README and in the comments of the public API compiles', () => {
  const examples = [...chapters, ...filesUnder('src', '.ts')].flatMap(examplesIn)
  expect(examples.length).toBeGreaterThan(10)

  const files = new Map(examples.map((example) => [join(root, dirname(example.file), example.name), example]))
  const { options } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(join(root, 'tsconfig.json'), (path) => readFileSync(path, 'utf8')).config,
    ts.sys,
    root,
  )
  const host = ts.createCompilerHost(options)
  const module = { languageVersion: ts.ScriptTarget.ES2022, impliedNodeFormat: ts.ModuleKind.ESNext } as const
  const { getSourceFile, fileExists, readFile } = host
  host.fileExists = (path) => files.has(path) || fileExists(path)
  host.readFile = (path) => files.get(path)?.code ?? readFile(path)
  host.getSourceFile = (path, ...rest) => {
    const example = files.get(path)
    return example === undefined ? getSourceFile(path, ...rest) : ts.createSourceFile(path, example.code, module)
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

const withoutCode = (markdown: string): string => markdown.replace(/^```[\s\S]*?^```$/gm, '')

/** The anchors that GitHub gives to the headings of a chapter. */
const anchorsIn = (markdown: string): string[] =>
  [...withoutCode(markdown).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  )

/** The links of a chapter into the repository, as written. */
const linksIn = (markdown: string): string[] =>
  [...withoutCode(markdown).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link = '']) => link)
    .filter((link) => !/^https?:/.test(link))

function problemOf(chapter: string, link: string): string | undefined {
  const [path = '', anchor] = link.split('#')
  const target = path === '' ? chapter : join(dirname(chapter), path)
  if (relative('.', target).startsWith('..') || !existsSync(join(root, target)))
    return `${chapter}: ${link} leads nowhere`
  if (anchor === undefined || anchorsIn(read(target)).includes(anchor)) return undefined
  return `${chapter}: ${link} has no such heading`
}

test('every link between READMEs, and to a file of the repository, leads somewhere', () => {
  const links = chapters.flatMap((chapter) => linksIn(read(chapter)).map((link) => ({ chapter, link })))
  expect(links.length).toBeGreaterThan(30)
  expect(links.flatMap(({ chapter, link }) => problemOf(chapter, link) ?? [])).toEqual([])
})

test('every chapter is linked from the README at the top, which stays short', () => {
  const top = read('README.md')
  const linked = linksIn(top).map((link) => link.split('#')[0])
  expect(chapters.filter((chapter) => chapter !== 'README.md' && !linked.includes(chapter))).toEqual([])
  expect(top.split('\n').length).toBeLessThanOrEqual(351)
})

test('every chapter is in the package', () => {
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts']
  const [packed] = JSON.parse(execFileSync('npm', args, { cwd: root, encoding: 'utf8' })) as [
    { files: { path: string }[] },
  ]
  expect(packed.files.map(({ path }) => path)).toEqual(expect.arrayContaining(chapters))
})

test('the README at the top names every class of errors', () => {
  const classes = Object.entries(api).filter(
    ([, value]) => typeof value === 'function' && value.prototype instanceof api.VmError,
  )
  expect(classes.length).toBeGreaterThan(20)
  expect(classes.map(([name]) => name).filter((name) => !read('README.md').includes(`\`${name}\``))).toEqual([])
})

test('the chapter on the architecture and the one on tests have every folder', () => {
  const missing = ['src', 'test'].flatMap((folder) => {
    const text = read(join(folder, 'README.md'))
    const entries = readdirSync(join(root, folder), { withFileTypes: true })
    return entries
      .filter((entry) => entry.isDirectory() && !text.includes(`\`${entry.name}/\``))
      .map(({ name }) => name)
  })
  expect(missing).toEqual([])
})
