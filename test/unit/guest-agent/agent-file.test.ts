import { expect, test } from 'vitest'
import type { Agent } from '../../../src/guest-agent/agent.js'
import { AgentCommandError } from '../../../src/guest-agent/agent-errors.js'
import { TailedFile } from '../../../src/guest-agent/agent-file.js'

/** An agent with one file, which each turn asks as often as it is to be repeated. */
class FileAgent {
  readonly commands: string[] = []
  repeats = 0
  #isOpen = false

  readonly #agent: Agent = {
    requireAnswer: () => Promise.resolve(),
    execute: (command) => {
      this.commands.push(command)
      if (command === 'guest-file-open') this.#isOpen = true
      else if (!this.#isOpen) {
        return Promise.reject(new AgentCommandError('GenericError', "handle '1003' has not been found"))
      } else if (command === 'guest-file-close') this.#isOpen = false
      return Promise.resolve(1003)
    },
  }

  async turn<T>(action: (agent: Agent) => Promise<T>): Promise<T> {
    for (; this.repeats > 0; this.repeats -= 1) await action(this.#agent)
    return await action(this.#agent)
  }
}

test('a close that is repeated, since its answer got lost, is done', async () => {
  const agent = new FileAgent()
  const file = await TailedFile.open(agent, '/run/file')
  agent.repeats = 1
  await file.close()
  expect(agent.commands).toEqual(['guest-file-open', 'guest-file-close', 'guest-file-close'])
  await expect(file.close()).rejects.toThrow('has not been found')
})
