import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { programs } from './shown-programs.js'

const root = join(programs, '../../..')

interface LintedFile {
  readonly messages: readonly { readonly ruleId: string; readonly line: number }[]
}

/** What ESLint reports in a project that has nothing but the program and the recipe's configuration, by line. */
async function lint(program: string): Promise<string[]> {
  const project = await mkdtemp(join(tmpdir(), 'awaitvm-eslint-'))
  try {
    await copyFile(join(programs, 'eslint.config.js'), join(project, 'eslint.config.js'))
    await symlink(join(root, 'node_modules'), join(project, 'node_modules'))
    await writeFile(join(project, 'package.json'), '{ "type": "module" }')
    const paths = { awaitvm: [join(root, 'src/index.ts')] }
    const compilerOptions = { strict: true, module: 'nodenext', target: 'es2022', types: ['node'], paths }
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }))
    await writeFile(join(project, 'program.ts'), program)
    const eslint = join(root, 'node_modules/eslint/bin/eslint.js')
    const output = await promisify(execFile)(process.execPath, [eslint, '--format', 'json', '.'], {
      cwd: project,
    }).catch((error: unknown) => error as { readonly stdout: string })
    const files = JSON.parse(output.stdout) as LintedFile[]
    return files.flatMap(({ messages }) => messages.map(({ line, ruleId }) => `${String(line)}: ${ruleId}`))
  } finally {
    await rm(project, { recursive: true })
  }
}

test('the ESLint configuration reports a floating job and a Result that nobody looks at, and nothing else', async () => {
  const program = `import { connect } from 'awaitvm'
const server = await connect('embedded:').unwrap()
const vm = await server.createVm({ name: 'web-1' }).unwrap()
vm.start()
await vm.stop()
const kept = vm.getState()
console.log(kept.status)
await vm.delete().unwrap()
`
  expect(await lint(program)).toEqual([
    '4: @typescript-eslint/no-floating-promises',
    '5: neverthrow/must-consume-result',
  ])
})
