import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder with the C sources of the guest program. */
const sources = fileURLToPath(new URL('../../src/drivers/embedded/guest-program/', import.meta.url))
/** The file with its bytes. */
export const bytesFile = join(sources, 'guest-program.ts')

/** i586 without SSE, which is what v86 is; no C library, and nothing that differs from one build to the next. */
const flags = [
  ...['-m32', '-march=i586', '-mno-sse', '-std=c11', '-Wall', '-Wextra', '-Werror', '-Os'],
  ...['-ffreestanding', '-fno-builtin', '-fno-pic', '-no-pie', '-fno-stack-protector', '-fcf-protection=none'],
  ...['-fno-asynchronous-unwind-tables', '-fno-tree-loop-distribute-patterns', '-fno-ident', '-nostdlib', '-static'],
  ...['-s', '-Wl,--build-id=none', '-Wl,-z,noseparate-code', '-Wl,-z,norelro', '-Wl,-z,noexecstack'],
]

/** What the bytes were made of. They are the same for the same compiler and the same sources. */
export const guestProgramOrigin = (): string => {
  const compiler = execFileSync('gcc', ['-dumpfullversion'], { encoding: 'utf8' }).trim()
  return `gcc ${compiler}, sources ${sourcesHash()}`
}

/** A hash of the sources. */
export const sourcesHash = (): string => {
  const hash = createHash('sha256')
  for (const name of readdirSync(sources).sort()) {
    if (/\.[ch]$/.test(name)) hash.update(`${name}\n`).update(readFileSync(join(sources, name)))
  }
  return hash.digest('hex').slice(0, 16)
}

/** Compiles the guest program. */
export const buildGuestProgram = (): Buffer => {
  const folder = mkdtempSync(join(tmpdir(), 'awaitvm-guest-program-'))
  try {
    const program = join(folder, 'awaitvm-guest')
    const files = readdirSync(sources).filter((name) => name.endsWith('.c'))
    execFileSync('gcc', [...flags, '-o', program, ...files.sort()], { cwd: sources })
    return readFileSync(program)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const moduleText = (program: Buffer): string => {
  const lines = program.toString('base64').match(/.{1,112}/g) ?? []
  return `/** The guest program, compiled. By ${guestProgramOrigin()}. A test compares the two. */
const base64 = [
${lines.map((line) => `  '${line}',`).join('\n')}
]

/** The executable for Linux on i386, 32-bit and static. */
export const guestProgram = (): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(base64.join(''), 'base64'))
`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(bytesFile, moduleText(buildGuestProgram()))
