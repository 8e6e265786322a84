import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CloudInit } from 'awaitvm'

const folder = '/srv/packages'
const control = `Package: awaitvm-greeting
Version: 1.0
Architecture: all
Maintainer: awaitvm <awaitvm@example.org>
Description: a program that greets
`

/** Settings by which a guest without a network installs a package: the seed brings the package and its repository. */
export function greetingPackage(): CloudInit {
  const work = mkdtempSync(join(tmpdir(), 'awaitvm-package-'))
  try {
    const tree = join(work, 'tree')
    mkdirSync(join(tree, 'DEBIAN'), { recursive: true, mode: 0o755 })
    mkdirSync(join(tree, 'usr/bin'), { recursive: true, mode: 0o755 })
    writeFileSync(join(tree, 'DEBIAN/control'), control)
    writeFileSync(join(tree, 'usr/bin/awaitvm-greeting'), '#!/bin/sh\necho hello\n', { mode: 0o755 })
    const file = join(work, 'greeting.deb')
    execFileSync('dpkg-deb', ['--root-owner-group', '--build', tree, file], { stdio: 'pipe' })
    const bytes = readFileSync(file)
    const digest = createHash('sha256').update(bytes).digest('hex')
    const index = `${control}Filename: ./greeting.deb\nSize: ${String(bytes.length)}\nSHA256: ${digest}\n`
    return {
      packages: ['awaitvm-greeting'],
      files: [
        { path: `${folder}/greeting.deb`, content: bytes.toString('base64'), encoding: 'base64' },
        { path: `${folder}/Packages`, content: index },
      ],
      userData: { apt: { preserve_sources_list: false, sources_list: `deb [trusted=yes] file:${folder} ./\n` } },
    }
  } finally {
    rmSync(work, { recursive: true })
  }
}
