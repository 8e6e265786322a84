// ci-job.ts
// npx tsx ci-job.ts qmp:///srv/vms debian ./project 'make test' build ./results
import { resolve } from 'node:path'
import { connect } from 'awaitvm'
import { interruption, withThrowAwayVm } from './throw-away-vm.js'

const [, , uri = '', template = '', project = '', command = '', made = '', results = ''] = process.argv
const signal = interruption()

await using server = await connect(uri).unwrap()
await withThrowAwayVm(server, template, signal, async (vm) => {
  await vm.start({ until: 'ready', timeoutMs: 120_000, signal }).unwrap()
  await vm.guest.copyIn(resolve(project), '/tmp/project', { signal }).unwrap()

  const job = vm.guest.exec(command, { cwd: '/tmp/project', timeoutMs: 600_000, signal })
  job.stdout.pipe(process.stdout)
  job.stderr.pipe(process.stderr)
  const { exitCode = 1 } = await job.unwrap() // none if a signal ended it
  process.exitCode = exitCode

  await vm.guest.copyOut(`/tmp/project/${made}`, resolve(results), { signal }).unwrap()
})
