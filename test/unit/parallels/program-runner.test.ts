import { expect, test } from 'vitest'
import { ProgramRunner } from '../../../src/drivers/parallels/program-runner.js'
import type { Transport } from '../../../src/drivers/parallels/transport.js'

test('begins nothing any more once it was stopped', async () => {
  const started: (readonly string[])[] = []
  const transport = {
    start(argv: readonly string[]) {
      started.push(argv)
      throw new Error('there is nothing to run')
    },
  } as unknown as Transport
  const runner = new ProgramRunner(transport)
  await runner.run(['prlctl', 'list'], { timeoutMs: 1000 })
  await runner.stopAll()
  const { ending } = await runner.run(['prlctl', 'start', 'web-1'], { timeoutMs: 1000 })
  expect(started).toEqual([['prlctl', 'list']])
  expect(ending).toMatchObject({ kind: 'not-begun', error: { message: 'the connection is closed' } })
})
