import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Child } from '../support/child-process.js'
import { container, missingContainers } from '../support/container.js'
import { missingQemu, skipWithout } from '../support/optional-tool.js'
import { qemusIn } from '../support/qemu-processes.js'
import { QmpHost } from '../support/qmp-host.js'

const verbs = ['start', 'kill', 'pause', 'resume', 'suspend', 'edit'] as const
const rounds = Number(process.env['AWAITVM_MODEL_OPERATIONS'] ?? 40)

/** Pseudo-random numbers, the same each time (mulberry32). */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** The code of the error, or `'ok'`. */
async function obey(child: Child, line: string): Promise<string> {
  child.send(line)
  const isAnswer = (printed: string): boolean => printed === `did ${line}` || printed.startsWith(`failed ${line}: `)
  await expect.poll(() => child.lines.some(isAnswer), { timeout: 30_000 }).toBe(true)
  return child.lines.find(isAnswer)?.split(': ')[1] ?? 'ok'
}

test(
  'QEMU: a host and a container change the same VMs at random, and no other process is touched',
  { timeout: 180_000 },
  async (context) => {
    skipWithout(context, missingQemu)
    skipWithout(context, missingContainers())
    await using host = await QmpHost.open()
    const vms = [await host.createVm({ name: 'web-1' }), await host.createVm({ name: 'web-2' })]
    const words = ['-e', 'console.log("up"); setInterval(() => 1, 1e6)', '--', 'start', ...vms.map(({ id }) => id)]
    const decoy = spawn(process.execPath, words, {
      cwd: join(host.directory, 'vms'),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(decoy.stdout, 'data')
    try {
      const random = randomNumbers(20_261_128)
      await using here = new Child('host-child.ts', [host.uri])
      let there = new Child('host-child.ts', [host.uri], container('b'))
      await Promise.all([here.printed('ready'), there.printed('ready')])
      for (let round = 0; round < rounds; round += 1) {
        const lines = [here, there].map(
          () => `${verbs[random(verbs.length)] ?? 'start'} ${String(round)} web-${String(1 + random(2))}`,
        )
        const answers = await Promise.all([here, there].map((child, place) => obey(child, lines[place] ?? '')))
        for (const [place, answer] of answers.entries()) {
          expect(['ok', 'RESOURCE_BUSY', 'INVALID_STATE'], lines[place]).toContain(answer)
        }
        if (round % 10 !== 9) continue
        // Replaces the container, which ends all that runs in it.
        await there.kill()
        there = new Child('host-child.ts', [host.uri], container('c'))
        await there.printed('ready')
      }
      await there.kill()
      const running = await Promise.all(
        vms.map(async (vm) => {
          await expect
            .poll(() => vm.getState().unwrap(), { timeout: 20_000 })
            .toMatch(/^(stopped|running|paused|suspended|crashed)$/)
          return ['running', 'paused'].includes(vm.state)
        }),
      )
      expect(await qemusIn(host.directory)).toHaveLength(running.filter(Boolean).length)
      expect([decoy.exitCode, decoy.signalCode]).toEqual([null, null])
    } finally {
      decoy.kill('SIGKILL')
    }
  },
)
