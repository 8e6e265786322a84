import { createSimulatedServer, type SimulatedProgram } from '../../testing/index.js'
import type { Page } from '../page.js'

/** Works inside a guest: a file goes in, a program runs, and its output is seen while it runs. */
export async function workInside(page: Page): Promise<void> {
  page.step('Work inside a guest: a file, and a program with live output')
  page.say(
    'the guests of this tour run no programs: here is a simulated one, as for tests, whose "build" is a function',
  )
  await using simulated = createSimulatedServer({ clock: 'real', vms: [{ name: 'ci-1', state: 'running' }] })
  simulated.onExec(build)
  const vm = await simulated.server.getVm('ci-1').unwrap()

  page.code(`await vm.guest.writeFile('/srv/steps', 'compile test pack').unwrap()`)
  await vm.guest.writeFile('/srv/steps', 'compile test pack').unwrap()

  page.code(`const job = vm.guest.exec(['build', '/srv/steps'])`)
  const job = vm.guest.exec(['build', '/srv/steps'])
  page.code('for await (const { data } of job.output()) page.say(data.trimEnd())')
  for await (const { data } of job.output()) page.say(data.trimEnd())
  const { exitCode, durationMs } = await job.unwrap()
  page.say(`it ended with exit code ${String(exitCode)} after ${durationMs.toFixed(0)} ms`)

  page.code(`const report = await vm.guest.readFile('/srv/report').unwrap()`)
  const report = await vm.guest.readFile('/srv/report').unwrap()
  page.say(`it has left a file: ${report}`)

  /** The program in the guest: a line for each step, which takes a moment. */
  async function* build(program: SimulatedProgram): AsyncGenerator<string> {
    const files = simulated.vm(program.vm)
    const steps = Buffer.from(files.readFile('/srv/steps') ?? [])
      .toString()
      .split(' ')
    for (const step of steps) {
      await program.sleep(200)
      yield `${step}: done\n`
    }
    files.writeFile('/srv/report', `${String(steps.length)} of ${String(steps.length)} steps done`)
  }
}
