// ci-job.ts
// npx tsx ci-job.ts qmp:///srv/vms debian ./project 'make test' ./results
import { connect } from 'awaitvm'
import { copyFolderIn, copyFolderOut } from './folders.js'
import { interruption, withThrowAwayVm } from './throw-away-vm.js'
import { untilReady } from './until-ready.js'

const [, , uri = '', template = '', project = '', command = '', results = ''] = process.argv
const signal = interruption()

await using server = await connect(uri).unwrap()
await withThrowAwayVm(server, template, signal, async (vm) => {
  await vm.start({ signal }).unwrap()
  await untilReady(vm, AbortSignal.any([signal, AbortSignal.timeout(120_000)]))
  await copyFolderIn(vm, project, '/tmp/project')

  const options = { cwd: '/tmp/project', timeoutMs: 600_000, signal }
  const { exitCode, stdout, stderr } = await vm.guest.exec(['/bin/sh', '-c', command], options).unwrap()
  process.stdout.write(stdout)
  process.stderr.write(stderr)
  process.exitCode = exitCode ?? 1 // undefined if a signal ended it

  await copyFolderOut(vm, '/tmp/project', results)
})
