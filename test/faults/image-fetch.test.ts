import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Child } from '../support/child-process.js'
import { ImageServer } from '../support/image-server.js'

const mebibyte = 2 ** 20

let folder: string
let server: ImageServer
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'awaitvm-cache-'))
  server = await ImageServer.listen(randomBytes(3 * mebibyte))
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

const fetching = (): Child => new Child('image-child.ts', [folder, server.url(), server.sha256])

const imagePath = (): string => join(folder, `sha256-${server.sha256}`, 'image')

test('two processes at once fetch once', async () => {
  server.answers.push(server.part(2 * mebibyte))
  await using first = fetching()
  await first.printed('has 1 MiB')
  await using second = fetching()
  await second.printed('waiting')
  server.goOn()
  await first.printed(`done ${imagePath()}`)
  await second.printed(`done ${imagePath()}`)
  expect(server.ranges).toEqual([undefined])
  expect(server.content.equals(await readFile(imagePath()))).toBe(true)
})

test('a process that waits goes on where a killed one was', async () => {
  server.answers.push(server.part(2 * mebibyte))
  await using first = fetching()
  await first.printed('has 1 MiB')
  await using second = fetching()
  await second.printed('waiting')
  await first.kill()
  await second.printed(`done ${imagePath()}`)
  expect(server.ranges).toEqual([undefined, expect.stringMatching(/^bytes=\d{7}-$/)])
  expect(server.content.equals(await readFile(imagePath()))).toBe(true)
})
